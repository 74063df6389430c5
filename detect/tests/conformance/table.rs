//! The items of the specification, and the titles of the cases that show each.

/// An item of the specification, and the titles of the cases that show it. None: not supported, and why.
pub enum Item {
    Cases(&'static str, &'static [&'static str]),
    Not(&'static str, &'static str),
}

use Item::{Cases, Not};

pub const TABLE: &[(&str, &[Item])] = &[
    (
        "Values",
        &[
            Cases(
                "Text: whole value, any case",
                &[
                    "equality ignores case and spans the whole value",
                    "case folding knows letters beyond ASCII",
                    "text and numbers and truth have text",
                    "whitespace and NUL in values are characters",
                    "en dash and hyphen are different without windash",
                ],
            ),
            Cases(
                "Numbers",
                &[
                    "a number in the rule and text in the record, and the other way round",
                    "numbers are exact beyond 64 bits",
                    "negative numbers and fractions",
                    "plain numbers in other notations match as number and as written",
                ],
            ),
            Cases(
                "Truth values",
                &["truth matches truth and its word in any case", "yes and no are text"],
            ),
            Cases(
                "`null`",
                &[
                    "null is absent or null, not empty",
                    "success is the absence of an error code",
                    "null beside values",
                    "not over an absent field is true",
                ],
            ),
            Cases("`''`", &["empty text is present and empty"]),
            Cases(
                "`*` and `?`",
                &[
                    "a star is any text and a question mark one character",
                    "a lone star is any value that has text",
                    "wildcards inside of contains stay live",
                    "a hostile wildcard value takes no exponential time",
                ],
            ),
            Cases(
                "Escapes",
                &[
                    "escaped wildcards are characters",
                    "two backslashes before a wildcard are one and leave it live",
                    "three backslashes before a wildcard are both characters",
                    "backslashes before other characters",
                    "a value that ends in a backslash does not escape the star of endswith or startswith",
                ],
            ),
        ],
    ),
    (
        "Fields and selections",
        &[
            Cases(
                "Maps are and, lists are or",
                &[
                    "a map is and, a list of values is or",
                    "a list of maps is or of ands",
                    "keywords and maps in one list",
                ],
            ),
            Cases(
                "Keywords",
                &[
                    "keywords are searched in every value at any depth",
                    "keywords are found however JSON writes them",
                    "keywords do not see truth, null and keys",
                    "a single keyword",
                    "keywords with all",
                    "keywords with other modifiers",
                    "keywords with not",
                ],
            ),
            Cases(
                "Nested fields",
                &[
                    "names with dots are found nested, flat and half flat",
                    "every occurrence of a repeated key counts",
                    "aliases try candidates in order and the first with a value wins",
                ],
            ),
            Cases(
                "Arrays, implicitly",
                &[
                    "any member of an array, at any depth",
                    "fields of objects in arrays",
                    "different members of an array may satisfy all",
                    "any member of an array may compare",
                ],
            ),
            Cases("Objects", &["objects have no text"]),
            Not("Arrays, explicitly: `[any]`, `[all]`, `[0]`", "a draft for version 3"),
        ],
    ),
    (
        "Modifiers",
        &[
            Cases(
                "`contains`, `startswith`, `endswith`",
                &[
                    "contains, startswith and endswith",
                    "startswith and endswith together are contains",
                ],
            ),
            Cases("`all`", &["all asks for every value", "all on a single value"]),
            Cases("`cased`", &["cased compares letters as they are"]),
            Cases("`exists`", &["exists looks at presence only"]),
            Cases(
                "`neq`",
                &[
                    "neq is none of the values and true when absent",
                    "neq goes with other modifiers",
                    "fieldref with neq is true when a field is absent",
                ],
            ),
            Cases(
                "`windash`",
                &[
                    "windash tries every dash before a flag",
                    "windash permutes every flag on its own and leaves hyphens inside of words",
                    "too many dashes",
                ],
            ),
            Cases(
                "`re` with `i`, `m`, `s`",
                &[
                    "re searches anywhere, minds case and needs no anchors",
                    "re flags",
                    "re flags by their long names",
                    "re with all, and backslashes are those of the expression",
                    "re sees numbers as decimal text",
                    "look-around is not part of the expressions",
                    "an expression that compiles to something huge",
                ],
            ),
            Cases(
                "`base64`, `base64offset`",
                &[
                    "base64 encodes the value",
                    "base64offset finds the value at any offset",
                    "base64offset of text beyond ASCII works on its UTF-8 bytes",
                ],
            ),
            Cases(
                "`wide`, `utf16le`, `utf16be`, `utf16`",
                &["wide, utf16le, utf16be and utf16 come before base64"],
            ),
            Cases(
                "`lt`, `lte`, `gt`, `gte`",
                &["lt, lte, gt and gte compare numbers", "comparisons are exact beyond 64 bits"],
            ),
            Cases(
                "`minute`, `hour`, `day`, `week`, `month`, `year`",
                &["parts of a time are taken as written", "parts of a time compare to bounds"],
            ),
            Cases("`cidr`", &["cidr knows both families and is false for what is no address"]),
            Cases(
                "`fieldref`",
                &[
                    "fieldref compares two fields",
                    "fieldref with startswith, endswith, contains, in either order",
                    "wildcards in the referenced value are characters",
                ],
            ),
            Cases(
                "`expand`",
                &[
                    "expand replaces placeholders by every value",
                    "percent signs without expand are characters",
                    "unresolved placeholder",
                    "expand without placeholder",
                ],
            ),
            Cases(
                "Chains that have no meaning are refused",
                &[
                    "unknown modifier",
                    "modifiers that do not fit each other",
                    "values that do not fit their modifier",
                ],
            ),
        ],
    ),
    (
        "Conditions",
        &[
            Cases(
                "`and`, `or`, `not`, parentheses",
                &[
                    "and binds tighter than or, not tightest",
                    "parentheses",
                    "not alone is evaluated on every event",
                    "a detection used twice and a contradiction",
                    "operators in upper case are read with a warning",
                ],
            ),
            Cases(
                "`1 of`, `any of`, `all of`, `them`, patterns",
                &[
                    "1 of them leaves out names with an underscore in front",
                    "a pattern with an underscore in front takes them",
                    "all of a pattern, and stars anywhere",
                    "any of is 1 of",
                    "not all of",
                    "a pattern that names nothing would be silent or always true",
                ],
            ),
            Cases("Several conditions", &["a list of conditions is or"]),
            Cases(
                "Version 1 aggregation and collections are refused",
                &["version 1 aggregation", "version 1 collections"],
            ),
        ],
    ),
    (
        "Documents",
        &[
            Cases(
                "What is missing, empty or misspelt is reported, all of it at once",
                &[
                    "several problems are all reported",
                    "empty selections",
                    "no detection",
                    "no condition",
                    "(no title)",
                    "no log source",
                    "an empty log source",
                    "parts that the condition does not use",
                    "a key that occurs twice",
                    "a status, a relation and an id that are not Sigma's",
                ],
            ),
            Cases(
                "Filters",
                &[
                    "named by id",
                    "named by name, twice filtered, with two conditions",
                    "a condition without not keeps only what it names",
                    "another log source is left alone",
                    "a filter for what is not there",
                    "a filter for a log source without rules",
                    "a filter without rules",
                    "a filter with errors of a detection",
                    "a rule and a filter at once",
                ],
            ),
        ],
    ),
    (
        "Correlations",
        &[
            Cases(
                "`event_count`",
                &[
                    "as many as asked for",
                    "one fewer is quiet",
                    "fewer than",
                    "an event that two of the rules match counts once",
                ],
            ),
            Cases(
                "`value_count` of a field or several",
                &[
                    "different values",
                    "the same value again and again is one",
                    "different combinations",
                    "every value of a field counts",
                    "too many fields",
                ],
            ),
            Cases(
                "`value_sum`",
                &["a sum", "numbers may be negative, so a sum can fall again", "a sum below"],
            ),
            Cases(
                "`value_avg`",
                &[
                    "a mean above a fraction",
                    "numbers",
                    "a mean of what is in the window",
                    "text that is a number counts, other text does not take part",
                ],
            ),
            Cases(
                "`value_percentile`",
                &[
                    "the median",
                    "the hundredth percentile is the largest",
                    "a small percentile is the smallest",
                    "the specification's percentile",
                    "a percentile",
                    "median",
                ],
            ),
            Cases(
                "`temporal`",
                &[
                    "all of the rules in any order",
                    "one of them too early",
                    "one event may be several of them",
                    "so many of the rules",
                    "how many of the rules",
                ],
            ),
            Cases(
                "`temporal_ordered`",
                &[
                    "in order",
                    "the wrong order",
                    "equal times are in order",
                    "the latest beginning counts",
                    "the longest sequence that can be put in order",
                ],
            ),
            Cases(
                "Conditions over rule names (SEP 198)",
                &[
                    "a Boolean condition",
                    "not",
                    "a sequence of what was chosen, and none at all of what was not",
                    "a Boolean condition over other names",
                    "a Boolean condition that names the rules itself",
                    "a Boolean condition of absence",
                ],
            ),
            Cases(
                "`timespan`",
                &[
                    "the window is open at its beginning",
                    "the window slides over the borders of cells",
                    "what has left the window is counted no more",
                    "one alert for each cell of time while it goes on",
                    "timespans",
                    "no time at all",
                    "a timespan of ages",
                ],
            ),
            Cases(
                "`gt`, `gte`, `lt`, `lte`, `eq`, `neq` and ranges",
                &[
                    "a range",
                    "exactly, and anything but",
                    "anything but one",
                    "a condition that never holds",
                    "a range that is empty",
                    "a condition without comparison",
                ],
            ),
            Cases(
                "`group-by`",
                &[
                    "groups of several fields, case does not matter",
                    "no group-by is one group",
                    "an event without a group-by field does not take part",
                    "an event with several values is in the group of each",
                ],
            ),
            Cases(
                "`aliases`",
                &[
                    "one name for different fields",
                    "aliases",
                    "aliases that lack a rule, name another, or are not used",
                ],
            ),
            Cases(
                "Correlations of correlations",
                &[
                    "many failed and then one that works",
                    "it worked before",
                    "another group than the inner one has, of the event at which that held",
                    "a chain of three",
                    "a chain that is written before what it refers to",
                    "a circle",
                ],
            ),
            Cases(
                "Mistakes are reported, all of them at once",
                &[
                    "several errors at once",
                    "conditions that are none",
                    "a log source and a word that is none",
                ],
            ),
            Cases(
                "References by id and name",
                &[
                    "by name and by id",
                    "rules that are not there cost only this correlation",
                    "one that needs the one above",
                    "a name that two rules have",
                    "more rules than there are",
                ],
            ),
        ],
    ),
];

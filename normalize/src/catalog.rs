//! All log types by name: those that come with the program and the user's own.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use include_dir::{Dir, include_dir};

use crate::check;
use crate::error::MappingError;
use crate::mapping::Mapping;

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/log_types");

/// Log types by name. Cheap to clone. A built-in log type is compiled when it is first asked for: a
/// process reads a few of them.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    by_name: BTreeMap<String, Arc<Entry>>,
}

#[derive(Debug)]
struct Entry {
    /// Of a built-in log type.
    text: &'static str,
    mapping: OnceLock<Arc<Mapping>>,
}

impl Entry {
    /// # Panics
    /// When a built-in file is wrong, which the tests of this crate exclude.
    fn mapping(&self, name: &str) -> &Arc<Mapping> {
        self.mapping.get_or_init(|| {
            let mapping = check::compile(name, self.text);
            let error =
                |errors: Vec<MappingError>| format!("a built-in log type is wrong: {}", errors[0]);
            Arc::new(mapping.map_err(error).unwrap_or_else(|text| panic!("{text}")))
        })
    }
}

impl Catalog {
    /// The log types that come with the program.
    pub fn builtin() -> Self {
        let entry = |(name, text): (String, &'static str)| {
            let name = name.strip_suffix(".yml").unwrap_or(&name).to_owned();
            (name, Arc::new(Entry { text, mapping: OnceLock::new() }))
        };
        Self { by_name: builtin_files().map(entry).collect() }
    }

    /// Adds log types from the text of their files, each with the name that errors call it by. A
    /// log type that exists already is replaced.
    ///
    /// # Errors
    /// Everything that is wrong with any of the files.
    pub fn with_files<N: AsRef<str>, T: AsRef<str>>(
        mut self,
        files: impl IntoIterator<Item = (N, T)>,
    ) -> Result<Self, Vec<MappingError>> {
        let mut errors = Vec::new();
        for (name, text) in files {
            match check::compile(name.as_ref(), text.as_ref()) {
                Ok(mapping) => {
                    let log_type = mapping.log_type().as_str().to_owned();
                    let mapping = OnceLock::from(Arc::new(mapping));
                    self.by_name.insert(log_type, Arc::new(Entry { text: "", mapping }));
                }
                Err(found) => errors.extend(found),
            }
        }
        if errors.is_empty() { Ok(self) } else { Err(errors) }
    }

    /// The log type with this name.
    pub fn get(&self, name: &str) -> Option<Arc<Mapping>> {
        self.by_name.get(name).map(|entry| Arc::clone(entry.mapping(name)))
    }

    /// All log types in alphabetical order of their names.
    pub fn by_name(&self) -> impl Iterator<Item = &Arc<Mapping>> {
        self.by_name.iter().map(|(name, entry)| entry.mapping(name))
    }

    /// All names in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }
}

/// Name and text of the built-in files.
pub(crate) fn builtin_files() -> impl Iterator<Item = (String, &'static str)> {
    let files = FILES.files().filter(|f| f.path().extension().is_some_and(|e| e == "yml"));
    files.map(|file| {
        let text = file.contents_utf8().expect("a log type's file is UTF-8");
        (file.path().display().to_string(), text)
    })
}

//! Text to a plan that only reads, or a sentence that says why not.

use datafusion::common::{DataFusionError, SchemaError, TableReference};
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{SetExpr, Statement as Sql};

use crate::error::{Error, Kind};
use crate::hint::{any_of, nearest};
use crate::session::{CATALOG, SCHEMA};

/// SQL longer than this is no question.
const SQL_BYTES_MAX: usize = 1 << 20;
const ALLOWED: &str = "one SELECT, WITH, EXPLAIN, SHOW or DESCRIBE statement is answered";
const TABLES: &str = "SELECT table_name FROM information_schema.tables \
     WHERE table_schema = 'main' ORDER BY table_name";

/// The logical plan of a statement that reads.
pub(crate) async fn plan(context: &SessionContext, sql: &str) -> Result<LogicalPlan, Error> {
    let mut statement = parse(sql)?;
    refuse_changes(&statement)?;
    if let Statement::Statement(s) = &statement
        && matches!(**s, Sql::ShowTables { .. })
    {
        statement = parse(TABLES)?;
    }
    let state = context.state();
    let references = state.resolve_table_references(&statement).map_err(|e| planning(&e))?;
    for reference in references {
        let function = state.table_functions().contains_key(reference.table());
        if !function && !context.table_exist(reference.clone()).unwrap_or(false) {
            return Err(no_table(context, &reference));
        }
    }
    let plan = state.statement_to_plan(statement).await.map_err(|e| planning(&e))?;
    let reading =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    reading.verify_plan(&plan).map_err(|_| changes("a statement that stores its result"))?;
    Ok(plan)
}

fn parse(sql: &str) -> Result<Statement, Error> {
    if sql.len() > SQL_BYTES_MAX {
        return Err(Error::new(Kind::Syntax, "the statement is longer than 1 MiB"));
    }
    let syntax = |e: DataFusionError| {
        let said = e.strip_backtrace();
        let said = said.trim_start_matches("SQL error: ");
        Error::new(Kind::Syntax, format!("the statement cannot be read: {said}"))
    };
    let mut parser = DFParserBuilder::new(sql).build().map_err(syntax)?;
    let mut statements = parser.parse_statements().map_err(syntax)?;
    let first = statements.pop_front();
    match (first, statements.len()) {
        (Some(statement), 0) => Ok(statement),
        (None, _) => Err(Error::new(Kind::Syntax, "there is no statement").with_hint(ALLOWED)),
        (_, more) => {
            let what = format!("there are {} statements instead of one", more + 1);
            Err(Error::new(Kind::Syntax, what).with_hint(ALLOWED))
        }
    }
}

fn changes(what: &str) -> Error {
    Error::new(Kind::ReadOnly, format!("the lake is only read here: {what} is not allowed"))
        .with_hint(ALLOWED)
}

/// Only these statements read; everything else, known or not yet invented, is refused.
fn refuse_changes(statement: &Statement) -> Result<(), Error> {
    match statement {
        Statement::Statement(sql) => refuse_sql(sql),
        Statement::Explain(explain) => refuse_changes(&explain.statement),
        Statement::CreateExternalTable(_) => Err(changes("CREATE EXTERNAL TABLE")),
        Statement::CopyTo(_) => Err(changes("COPY")),
        Statement::Reset(_) => Err(changes("RESET")),
    }
}

fn refuse_sql(statement: &Sql) -> Result<(), Error> {
    match statement {
        Sql::Query(query) => match &*query.body {
            SetExpr::Insert(changing)
            | SetExpr::Update(changing)
            | SetExpr::Delete(changing)
            | SetExpr::Merge(changing) => refuse_sql(changing),
            // What is hidden deeper is refused with the plan.
            _ => Ok(()),
        },
        Sql::ExplainTable { .. }
        | Sql::ShowTables { .. }
        | Sql::ShowColumns { .. }
        | Sql::ShowFunctions { .. }
        | Sql::ShowVariable { .. } => Ok(()),
        Sql::Explain { statement, .. } => refuse_sql(statement),
        other => {
            let text = other.to_string();
            let words: Vec<&str> = text.split_whitespace().take(2).collect();
            let two = ["CREATE", "DROP", "ALTER", "SHOW"];
            let first = words.first().copied().unwrap_or_default();
            let named = if two.contains(&first) { words.join(" ") } else { first.to_owned() };
            Err(changes(&named))
        }
    }
}

fn table_names(context: &SessionContext) -> Vec<String> {
    let schema = context.catalog(CATALOG).and_then(|c| c.schema(SCHEMA));
    let mut names = schema.map(|s| s.table_names()).unwrap_or_default();
    names.sort();
    names
}

fn no_table(context: &SessionContext, reference: &TableReference) -> Error {
    let names = table_names(context);
    let wrong = reference.to_string();
    let near = nearest(&wrong, names.iter().map(String::as_str));
    let hint = if near.is_empty() {
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        format!("there are {}; files and URLs cannot be read", all.join(", "))
    } else {
        format!("did you mean {}?", any_of(&near))
    };
    Error::new(Kind::Unknown, format!("there is no table {wrong}")).with_hint(hint)
}

/// A planner's error in words; names that do not exist come with those that do.
pub(crate) fn planning(error: &DataFusionError) -> Error {
    if let DataFusionError::SchemaError(schema, _) = error.find_root()
        && let SchemaError::FieldNotFound { field, valid_fields } = &**schema
    {
        let near = nearest(&field.name, valid_fields.iter().map(|f| f.name.as_str()));
        let hint = match (near.is_empty(), valid_fields.iter().any(|f| f.name == "raw")) {
            (false, _) => format!("did you mean {}?", any_of(&near)),
            (true, true) => {
                let path = field.name.replace('\'', "''");
                format!(
                    "DESCRIBE the table for its columns; every other field is in raw: \
                     json_get(raw, '{path}')"
                )
            }
            (true, false) => "DESCRIBE the table for its columns".to_owned(),
        };
        let what = format!("there is no column {}", field.name);
        return Error::new(Kind::Unknown, what).with_hint(hint);
    }
    let said = error.strip_backtrace();
    let said = said.strip_prefix("Error during planning: ").unwrap_or(&said);
    let unknown = said.starts_with("Invalid function") || said.contains("table function");
    let kind = if unknown { Kind::Unknown } else { Kind::Invalid };
    Error::new(kind, format!("the statement cannot be answered: {said}"))
}

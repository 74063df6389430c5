//! What the workers detect and map with: log types and rules, immutable, swapped whole on reload.

use std::sync::Arc;

use detect::{Engine, Group, RuleSet};
use event::{Fields, FieldsBuilder, LogType};
use normalize::{Catalog, Mapper, Mapping};

/// Log types and rules that belong together.
pub struct Detection {
    pub catalog: Arc<Catalog>,
    pub rules: Arc<RuleSet>,
    /// Counts reloads, so that a worker sees that its streams are of an older set.
    pub generation: u64,
}

/// One log type's mapping and rules, compiled over one set of fields.
pub struct Compiled {
    pub mapping: Arc<Mapping>,
    pub mapper: Mapper,
    pub group: Arc<Group>,
    pub fields: Arc<Fields>,
}

impl Detection {
    /// Compiles the stream of a log type; `None` when there is no such log type.
    pub fn compile(&self, log_type: &LogType, engine: Engine) -> Option<Compiled> {
        let mapping = self.catalog.get(log_type.as_str())?;
        let mut builder = FieldsBuilder::default();
        let mapper = mapping.bind(&mut builder);
        let candidates = |field: &str| mapping.candidates(field);
        let group = self.rules.bind(mapping.log_source(), &candidates, &mut builder, engine);
        Some(Compiled { mapping, mapper, group, fields: Arc::new(builder.build()) })
    }
}

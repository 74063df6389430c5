//! Old files under a newer schema: a column that the file lacks reads as null, one of another type is
//! cast, and a value that does not survive the cast is null. A query never fails because a mapping
//! was once different.

use std::sync::Arc;

use arrow::compute::{CastOptions, can_cast_types};
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Column, Literal};
use datafusion::physical_expr_adapter::{PhysicalExprAdapter, PhysicalExprAdapterFactory};

/// Makes [`Lenient`] adapters.
#[derive(Debug)]
pub(crate) struct LenientFactory;

impl PhysicalExprAdapterFactory for LenientFactory {
    fn create(&self, table: SchemaRef, file: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        Ok(Arc::new(Lenient { table, file }))
    }
}

#[derive(Debug)]
struct Lenient {
    table: SchemaRef,
    file: SchemaRef,
}

impl PhysicalExprAdapter for Lenient {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        expr.transform_up(|expr| match expr.downcast_ref::<Column>() {
            Some(column) => self.column(column).map(Transformed::yes),
            None => Ok(Transformed::no(expr)),
        })
        .data()
    }
}

impl Lenient {
    fn column(&self, column: &Column) -> Result<Arc<dyn PhysicalExpr>> {
        let wanted = self.table.field_with_name(column.name())?.data_type();
        let Ok(index) = self.file.index_of(column.name()) else {
            return Ok(Arc::new(Literal::new(ScalarValue::try_new_null(wanted)?)));
        };
        let stored = self.file.field(index).data_type();
        let found = Arc::new(Column::new(column.name(), index));
        if stored == wanted {
            return Ok(found);
        }
        if !can_cast_types(stored, wanted) {
            return Ok(Arc::new(Literal::new(ScalarValue::try_new_null(wanted)?)));
        }
        let options = CastOptions { safe: true, ..CastOptions::default() };
        Ok(Arc::new(CastExpr::new(found, wanted.clone(), Some(options))))
    }
}

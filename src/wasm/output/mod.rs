use std::fmt;

/// Where in a guest's result something is wrong, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputFault {
    /// `name major.minor`
    pub public_schema: Option<String>,
    /// Index of the row in the result.
    pub row: Option<usize>,
    pub column: Option<String>,
    pub what: String,
}

impl fmt::Display for OutputFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(row) = self.row {
            write!(f, "row {row}")?;
            if let Some(schema) = &self.public_schema {
                write!(f, " of public schema `{schema}`")?;
            }
            if let Some(column) = &self.column {
                write!(f, ", column `{column}`")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.what)
    }
}

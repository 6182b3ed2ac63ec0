//! What only shows against parts that nobody here wrote.

mod published_schemas;

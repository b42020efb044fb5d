//! What the examples in this crate's documentation share, so that they show what they are about and nothing else.

#![allow(missing_docs, reason = "hidden, and no part of the interface")]

/// What an example gives.
pub type Outcome = Result<(), Box<dyn std::error::Error>>;

#[derive(Clone, PartialEq, prost::Message)]
pub struct Question {
    #[prost(string, tag = "1")]
    pub home: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Reading {
    #[prost(uint32, tag = "1")]
    pub watts: u32,
}

impl prost::Name for Question {
    const NAME: &'static str = "Question";
    const PACKAGE: &'static str = "example";
}

impl prost::Name for Reading {
    const NAME: &'static str = "Reading";
    const PACKAGE: &'static str = "example";
}

//! What an author reads when a component is declared wrongly: what, where, and what is expected.

#[test]
fn mistakes_are_named_where_they_are() {
    trybuild::TestCases::new().compile_fail("tests/messages/*.rs");
}

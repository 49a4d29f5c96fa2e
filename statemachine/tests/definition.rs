//! What the definition promises, read off its own text.

use deathstar_statemachine::asl::{ATTACK, Definition};

#[test]
fn the_definition_parses() {
    let definition = Definition::parse(ATTACK, &[("ControllerFunction", "controller")]).unwrap();
    assert_eq!(definition.timeout().unwrap().as_secs(), 32 * 24 * 3600);
}

//! Verdicts and speed of rsigma. Reads `{"rules": [yaml], "events": [{field: value}], "rounds": n}` from standard input; writes
//! `{"answers": [...], "per_second": x}`: for each rule the indexes of the events that it matches, or rsigma's error, and the events per second that an
//! engine with all rules evaluates on one core, the best of `rounds`; 0 without rounds.
use std::io::{Read, Write};
use std::time::Instant;

use rsigma_eval::event::JsonEvent;
use rsigma_eval::{Engine, compile_rule, evaluate_rule};
use rsigma_parser::parse_sigma_yaml;
use serde_json::{Value, json};

fn main() {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).expect("standard input is text");
    let request: Value = serde_json::from_str(&text).expect("standard input is JSON");
    let events: Vec<&Value> = request["events"].as_array().expect("events").iter().collect();
    let rounds = request["rounds"].as_u64().unwrap_or(0);
    let mut engine = Engine::new();
    engine.set_cross_rule_ac(true);
    let mut answers = Vec::new();
    for rule in request["rules"].as_array().expect("rules") {
        answers.push(match verdicts(rule.as_str().unwrap_or(""), &events, &mut engine) {
            Ok(found) => json!(found),
            Err(said) => json!(said),
        });
    }
    let wrapped: Vec<JsonEvent> = events.iter().map(|event| JsonEvent::borrow(event)).collect();
    let mut per_second: f64 = 0.0;
    let mut matches = 0;
    for _ in 0..rounds {
        let began = Instant::now();
        for event in &wrapped {
            matches += engine.evaluate(event).len();
        }
        per_second = per_second.max(wrapped.len() as f64 / began.elapsed().as_secs_f64());
    }
    let answer = json!({ "answers": answers, "per_second": per_second, "matches": matches });
    std::io::stdout().write_all(answer.to_string().as_bytes()).expect("standard output");
}

fn verdicts(rule: &str, events: &[&Value], engine: &mut Engine) -> Result<Vec<usize>, String> {
    let collection = parse_sigma_yaml(rule).map_err(|error| error.to_string())?;
    let [only] = collection.rules.as_slice() else {
        return Err(format!("{} rules: {:?}", collection.rules.len(), collection.errors));
    };
    let compiled = compile_rule(only).map_err(|error| error.to_string())?;
    engine.add_rule(only).map_err(|error| error.to_string())?;
    let matches = |event: &Value| evaluate_rule(&compiled, &JsonEvent::borrow(event)).is_some();
    Ok((0..events.len()).filter(|&number| matches(events[number])).collect())
}

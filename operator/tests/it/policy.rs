//! The chart's ValidatingAdmissionPolicies, evaluated: their expressions, as the chart renders them, over requests for the operator's
//! own objects and others. (By a CEL of Rust; what the API server's makes of them is for the end-to-end tests.)

use std::collections::HashMap;

use cel::extractors::This;
use cel::objects::Key;
use cel::{Context, ExecutionError, Program, Value as Cel};
use serde_json::{Value, json};

/// The operator's account.
pub const OPERATOR: &str = "system:serviceaccount:workspacefs-system:workspacefs-operator";

/// A policy's spec, as the chart renders it by default, or else with files switched on.
fn policy(name: &str) -> Value {
    let files = [
        concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/kustomize/workspacefs.yaml"),
        concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/rendered/files.yaml"),
    ];
    let rendered = files.map(|file| std::fs::read_to_string(file).unwrap());
    let objects = rendered.iter().flat_map(|text| text.split("\n---"));
    let objects = objects.filter(|text| text.contains("kind: ValidatingAdmissionPolicy\n"));
    let mut objects = objects.map(|text| serde_saphyr::from_str::<Value>(text).unwrap());
    objects.find(|object| object["metadata"]["name"] == name).expect(name)["spec"].take()
}

/// A request.
pub struct Asked<'a> {
    pub operation: &'a str,
    pub resource: &'a str,
    pub namespace: &'a str,
    /// Whose it is.
    pub user: &'a str,
    pub now: Value,
    pub before: Value,
}

impl<'a> Asked<'a> {
    /// Of the operator's.
    pub fn create(resource: &'a str, object: Value) -> Self {
        Self {
            operation: "CREATE",
            resource,
            namespace: "team-a",
            user: OPERATOR,
            now: object,
            before: Value::Null,
        }
    }

    pub fn update(resource: &'a str, before: Value, now: Value) -> Self {
        Self { operation: "UPDATE", before, ..Self::create(resource, now) }
    }

    pub fn delete(resource: &'a str, object: Value) -> Self {
        Self { operation: "DELETE", before: object, ..Self::create(resource, Value::Null) }
    }

    /// What the policy says against it.
    pub fn refused(&self, name: &str) -> Vec<String> {
        let spec = policy(name);
        let text = |value: &Value| value.as_str().unwrap().to_string();
        let mut variables = HashMap::new();
        for variable in spec["variables"].as_array().unwrap() {
            let found = self.evaluate(&text(&variable["expression"]), &variables);
            variables.insert(text(&variable["name"]), found);
        }
        let validations = spec["validations"].as_array().unwrap().iter();
        let broken = validations.filter(|rule| match self.evaluate(&text(&rule["expression"]), &variables) {
            Cel::Bool(holds) => !holds,
            other => panic!("{other:?}: {rule}"),
        });
        broken.map(|rule| text(&rule["message"])).collect()
    }

    fn evaluate(&self, expression: &str, variables: &HashMap<String, Cel>) -> Cel {
        let request = json!({
            "operation": self.operation, "namespace": self.namespace,
            "resource": {"resource": self.resource}, "userInfo": {"username": self.user},
        });
        let mut context = Context::default();
        context.add_function("dyn", |value: Cel| -> Result<Cel, ExecutionError> { Ok(value) });
        context.add_function("at", at);
        context.add_function("otherwise", otherwise);
        context.add_function("hasValue", |This(this): This<Cel>| -> Result<bool, ExecutionError> {
            Ok(!matches!(this, Cel::Null))
        });
        for (name, value) in [("request", &request), ("object", &self.now), ("oldObject", &self.before)] {
            context.add_variable_from_value(name, cel::to_value(value).unwrap());
        }
        context.add_variable_from_value("variables", variables.clone());
        let expression = without_options(expression);
        let program = Program::compile(&expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
        program.execute(&context).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }
}

/// The expression with optional fields (`.?field`, `[?'key']`, `.orValue(x)`) said by functions: this CEL fails where such a
/// field is missing.
fn without_options(expression: &str) -> String {
    let mut said = String::new();
    let mut rest = expression;
    while let Some(start) = rest.find(".?").into_iter().chain(rest.find("[?'")).min() {
        said.push_str(&rest[..start]);
        let (key, after) = match rest[start..].strip_prefix("[?'") {
            Some(key) => key.split_once("']").unwrap(),
            None => {
                let field = &rest[start + 2..];
                field.split_at(field.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(field.len()))
            }
        };
        said.push_str(&format!(".at('{key}')"));
        rest = after;
    }
    said.push_str(rest);
    said.replace(".orValue(", ".otherwise(")
}

/// The field, or null.
fn at(This(this): This<Cel>, key: std::sync::Arc<String>) -> Result<Cel, ExecutionError> {
    Ok(match this {
        Cel::Map(map) => map.map.get(&Key::String(key)).cloned().unwrap_or(Cel::Null),
        _ => Cel::Null,
    })
}

fn otherwise(This(this): This<Cel>, other: Cel) -> Result<Cel, ExecutionError> {
    Ok(if matches!(this, Cel::Null) { other } else { this })
}

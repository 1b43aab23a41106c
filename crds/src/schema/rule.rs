//! CEL rules (`x-kubernetes-validations`): compiled when first needed, equal ones shared by all schemas, evaluated with
//! Kubernetes' functions. Rules on `oldSelf` hold on create by definition and are not evaluated.

use super::{
    cel,
    error::{FieldError, FieldErrorKind, Path, shown},
    node::{Node, Type},
};
use kube_cel::cel::{Context, Program, Value as CelValue};
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError},
};

/// One rule of a schema node.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Rule {
    rule: Expression,
    message: Option<String>,
    message_expression: Option<Expression>,
    #[serde(default)]
    reason: Reason,
    field_path: Option<String>,
    /// Evaluate on create too, with an absent old value.
    #[serde(default)]
    optional_old_self: bool,
}

/// What kind of error a broken rule is.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
enum Reason {
    #[default]
    #[serde(rename = "FieldValueInvalid")]
    Invalid,
    #[serde(rename = "FieldValueForbidden")]
    Forbidden,
    #[serde(rename = "FieldValueRequired")]
    Required,
    #[serde(rename = "FieldValueDuplicate")]
    Duplicate,
}

/// A CEL expression; the program is compiled once for all places that have the same text.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "String")]
struct Expression(Arc<(String, OnceLock<Result<Compiled, String>>)>);

#[derive(Debug)]
struct Compiled {
    program: Program,
    uses_old_self: bool,
}

impl From<String> for Expression {
    fn from(text: String) -> Self {
        static KNOWN: LazyLock<Mutex<HashMap<String, Expression>>> = LazyLock::new(Mutex::default);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(text).or_insert_with_key(|text| Self(Arc::new((text.clone(), OnceLock::new())))).clone()
    }
}

impl Expression {
    fn text(&self) -> &str {
        &self.0.0
    }

    fn compiled(&self) -> Result<&Compiled, &str> {
        let compile = || {
            let program = Program::compile(self.text()).map_err(|error| error.to_string())?;
            let uses_old_self = program.references().has_variable("oldSelf");
            Ok(Compiled { program, uses_old_self })
        };
        self.0.1.get_or_init(compile).as_ref().map_err(String::as_str)
    }
}

/// Evaluates the rules of `node` and of everything below it that `value` has.
pub(crate) fn evaluate(value: &Value, node: &Node, path: &Path<'_>, errors: &mut Vec<FieldError>) {
    if value.is_null() {
        return;
    }
    if !node.rules.is_empty() {
        cel::with_self(value, node, |context| {
            errors.extend(node.rules.iter().filter_map(|rule| rule.broken(value, node, path, context)));
        });
    }
    for node in &node.all_of {
        evaluate(value, node, path, errors);
    }
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                if let Some(node) = node.field(key) {
                    evaluate(value, node, &path.key(key), errors);
                }
            }
        }
        Value::Array(items) => {
            let Some(node) = &node.items else { return };
            for (index, value) in items.iter().enumerate() {
                evaluate(value, node, &path.index(index), errors);
            }
        }
        _ => {}
    }
}

impl Rule {
    pub(crate) fn text(&self) -> &str {
        self.rule.text()
    }

    /// Why the rule or its message cannot be evaluated, if that is so.
    pub(crate) fn unsupported(&self) -> Option<String> {
        if self.field_path.is_some() {
            return Some("fieldPath is not supported".to_owned());
        }
        if self.optional_old_self {
            return Some("optionalOldSelf is not supported".to_owned());
        }
        let mut expressions = std::iter::once(&self.rule).chain(&self.message_expression);
        expressions.find_map(|expression| match expression.compiled() {
            Err(error) => Some(error.to_owned()),
            Ok(compiled) => cel::unknown_function(&compiled.program).map(|name| format!("no function {name}")),
        })
    }

    /// The error if the rule does not hold.
    fn broken(&self, value: &Value, node: &Node, path: &Path<'_>, context: &Context<'_>) -> Option<FieldError> {
        let compiled = match self.rule.compiled() {
            Ok(compiled) if compiled.uses_old_self => return None,
            Ok(compiled) => compiled,
            Err(error) => return Some(invalid(value, node, path, &format!("rule compile error: {error}"))),
        };
        match compiled.program.execute(context) {
            Ok(CelValue::Bool(true)) => None,
            Ok(_) => Some(self.error(value, node, path, &self.message(context))),
            Err(error) => Some(invalid(value, node, path, &format!("{error} evaluating rule: {}", self.text()))),
        }
    }

    fn message(&self, context: &Context<'_>) -> String {
        let computed = self.message_expression.as_ref().and_then(|expression| {
            match expression.compiled().ok()?.program.execute(context) {
                Ok(CelValue::String(text)) if !text.trim().is_empty() && !text.contains('\n') => Some(text.to_string()),
                _ => None,
            }
        });
        computed.or_else(|| self.message.clone()).unwrap_or_else(|| format!("failed rule: {}", self.text()))
    }

    fn error(&self, value: &Value, node: &Node, path: &Path<'_>, message: &str) -> FieldError {
        match self.reason {
            Reason::Invalid => invalid(value, node, path, message),
            Reason::Forbidden => path.error(FieldErrorKind::Forbidden, message),
            Reason::Required => path.error(FieldErrorKind::Required, message),
            Reason::Duplicate => path.error(FieldErrorKind::Duplicate { value: shown(value) }, message),
        }
    }
}

/// The API server names the type where the value is no scalar.
fn invalid(value: &Value, node: &Node, path: &Path<'_>, message: &str) -> FieldError {
    match node.kind {
        Some(kind @ (Type::Object | Type::Array)) => {
            path.error(FieldErrorKind::Invalid { value: format!("{:?}", kind.name()) }, message)
        }
        _ => path.invalid(value, message),
    }
}

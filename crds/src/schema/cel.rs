//! JSON as CEL sees it, and the functions that rules may call. Texts with a `format` stay texts: no rule of the schemas
//! here looks at a time, and a test holds them to it.

use super::node::Node;
use kube_cel::{
    KubeCelExt,
    cel::{
        Context, ExecutionError, Program, Value as CelValue,
        extractors::This,
        objects::{Key, Map},
    },
};
use regex::Regex;
use serde_json::{Number, Value};
use std::{borrow::Cow, cell::RefCell, collections::HashMap, sync::Arc};

/// Regular expressions that are kept compiled per thread. Rules hold theirs as constants, so this is a bound on what a
/// schema could ask for, and not on what it does.
const REGEXES_MAX: usize = 64;

thread_local! {
    static FUNCTIONS: Context<'static> = {
        let mut context = Context::default().with_all();
        context.add_function("matches", matches);
        context
    };
    static REGEXES: RefCell<HashMap<Arc<String>, Regex>> = RefCell::default();
}

/// `matches` of the CEL library, which compiles its expression on every call; here each is compiled once.
fn matches(This(text): This<Arc<String>>, pattern: Arc<String>) -> Result<bool, ExecutionError> {
    let error = |error: regex::Error| ExecutionError::function_error("matches", error);
    REGEXES.with_borrow_mut(|known| {
        if let Some(regex) = known.get(&pattern) {
            return Ok(regex.is_match(&text));
        }
        let regex = Regex::new(&pattern).map_err(error)?;
        let matched = regex.is_match(&text);
        if known.len() < REGEXES_MAX {
            known.insert(pattern, regex);
        }
        Ok(matched)
    })
}

/// Calls `evaluate` with a context in which `self` is `value`.
pub(crate) fn with_self(value: &Value, node: &Node, evaluate: impl FnOnce(&Context<'_>)) {
    FUNCTIONS.with(|functions| {
        let mut context = functions.new_inner_scope();
        context.add_variable_from_value("self", convert(value, node));
        evaluate(&context);
    });
}

/// A function that `program` calls and that does not exist.
pub(crate) fn unknown_function(program: &Program) -> Option<String> {
    let references = program.references();
    let named = |name: &&str| name.starts_with(|c: char| c.is_ascii_alphabetic());
    let unknown = |name: &&str| {
        let call =
            Program::compile(&format!("{name}()")).map(|probe| FUNCTIONS.with(|functions| probe.execute(functions)));
        // Any other error comes from the function itself, which was called without what it needs.
        matches!(call, Ok(Err(ExecutionError::UndeclaredReference(_))) | Err(_))
    };
    let mut names: Vec<&str> = references.functions().into_iter().filter(named).filter(unknown).collect();
    names.sort_unstable();
    names.first().map(|name| (*name).to_owned())
}

/// What the schema does not describe stays invisible, as in the API server; so the depth is the schema's too.
fn convert(value: &Value, node: &Node) -> CelValue {
    match value {
        Value::Null => CelValue::Null,
        Value::Bool(value) => CelValue::Bool(*value),
        Value::Number(value) => number(value),
        Value::String(text) => CelValue::String(Arc::new(text.clone())),
        Value::Array(items) => {
            let items = node.items.as_ref().map(|node| items.iter().map(|item| convert(item, node)).collect());
            CelValue::List(Arc::new(items.unwrap_or_default()))
        }
        Value::Object(object) => {
            let is_map = node.is_map();
            let entry = |(key, value): (&String, &Value)| {
                let name = if is_map { Cow::Borrowed(key.as_str()) } else { escaped(key) };
                Some((Key::String(Arc::new(name.into_owned())), convert(value, node.field(key)?)))
            };
            CelValue::Map(Map { map: Arc::new(object.iter().filter_map(entry).collect()) })
        }
    }
}

fn number(number: &Number) -> CelValue {
    let integer = number.as_i64().map(CelValue::Int).or_else(|| number.as_u64().map(CelValue::UInt));
    integer.unwrap_or_else(|| CelValue::Float(number.as_f64().unwrap_or(f64::NAN)))
}

/// CEL's own words, which a field's name must not be.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// A field's name as rules write it
/// (<https://kubernetes.io/docs/reference/using-api/cel/#escaping>).
fn escaped(name: &str) -> Cow<'_, str> {
    if RESERVED.contains(&name) {
        return Cow::Owned(format!("__{name}__"));
    }
    if !name.contains(['.', '-', '/']) && !name.contains("__") {
        return Cow::Borrowed(name);
    }
    let name = name.replace("__", "__underscores__").replace('.', "__dot__");
    Cow::Owned(name.replace('-', "__dash__").replace('/', "__slash__"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A schema that has every field of `value`.
    fn describing(value: &Value) -> Node {
        let fields = value.as_object().into_iter().flatten();
        let properties = fields.map(|(name, value)| (name.as_str().into(), describing(value))).collect();
        let items = value.as_array().and_then(|items| items.first()).map(|item| Box::new(describing(item)));
        Node { properties, items, ..Node::default() }
    }

    fn eval(rule: &str, value: Value) -> Result<CelValue, ExecutionError> {
        let program = Program::compile(rule).unwrap();
        let (node, mut result) = (describing(&value), None);
        with_self(&value, &node, |context| result = Some(program.execute(context)));
        result.unwrap()
    }

    #[test]
    fn kubernetes_functions_are_there() {
        for (rule, value) in [
            ("duration(self.a) > duration(self.b)", json!({"a": "1h", "b": "59m"})),
            ("duration('0s') != duration(self)", json!("1ms")),
            ("quantity(self).compareTo(quantity('1Ki')) > 0", json!("1Mi")),
            ("quantity(string(self)).compareTo(quantity('64')) == 0", json!(64)),
            ("!isIP(self)", json!("1.2.3")),
            ("self.split('/')[0].size() == 3 && self.substring(4) == 'd'", json!("abc/d")),
            (r#"self.matches(r"""^a\.b$""")"#, json!("a.b")),
            ("self.all(key, key.startsWith('a'))", json!({"a1": 1, "a2": 2})),
            (
                "self.exists_one(x, x.__namespace__ == 'n' && x.foo__dash__bar == 1)",
                json!([{"namespace": "n", "foo-bar": 1}]),
            ),
            ("self.filter(f, f == 1).size() <= 1 && '*' in ['*']", json!([1, 2])),
        ] {
            assert_eq!(eval(rule, value), Ok(CelValue::Bool(true)), "{rule}");
        }
    }

    #[test]
    fn what_the_schema_does_not_describe_is_invisible() {
        let (value, mut result) = (json!({"known": 1, "unknown": 2}), None);
        let program = Program::compile("has(self.known) && !has(self.unknown)").unwrap();
        with_self(&value, &describing(&json!({"known": 1})), |context| result = Some(program.execute(context)));
        assert_eq!(result, Some(Ok(CelValue::Bool(true))));
    }

    #[test]
    fn a_missing_function_is_named() {
        let unknown = |rule: &str| unknown_function(&Program::compile(rule).unwrap());
        assert_eq!(unknown("self.frobnicate() && isIP(self)"), Some("frobnicate".to_owned()));
        assert_eq!(unknown("self.all(x, x.matches('a') && duration(x) == duration('1s')) && size(self) > 0"), None);
    }

    #[test]
    fn names_are_escaped_as_kubernetes_does() {
        for (name, expected) in [
            ("name", "name"),
            ("namespace", "__namespace__"),
            ("a_b", "a_b"),
            ("a__b", "a__underscores__b"),
            ("a.b-c/d", "a__dot__b__dash__c__slash__d"),
        ] {
            assert_eq!(escaped(name), expected);
        }
    }
}

//! The messages of `portolan.echo.v1`, written by hand so that no build needs protoc; proto/echo.proto is the same.

/// Full name of the gRPC service.
pub const SERVICE: &str = "portolan.echo.v1.Echo";

/// What a client sends.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EchoRequest {
    /// Text to send back.
    #[prost(string, tag = "1")]
    pub message: String,
    /// ServerStream only: how many answers; 0 means 1.
    #[prost(uint32, tag = "2")]
    pub count: u32,
    /// ServerStream only: milliseconds between answers.
    #[prost(uint32, tag = "3")]
    pub interval_ms: u32,
}

/// What the pod answers.
#[derive(Clone, PartialEq, prost::Message)]
pub struct EchoResponse {
    /// The message received.
    #[prost(string, tag = "1")]
    pub message: String,
    /// Name of the pod.
    #[prost(string, tag = "2")]
    pub pod: String,
    /// Namespace of the pod.
    #[prost(string, tag = "3")]
    pub namespace: String,
    /// Every Service that selects the pod.
    #[prost(string, repeated, tag = "4")]
    pub services: Vec<String>,
    /// Number of this answer in its stream, from 1.
    #[prost(uint32, tag = "5")]
    pub sequence: u32,
    /// The full method, as in the path.
    #[prost(string, tag = "6")]
    pub method: String,
    /// `:authority` or `Host`.
    #[prost(string, tag = "7")]
    pub authority: String,
    /// The metadata received.
    #[prost(message, repeated, tag = "8")]
    pub metadata: Vec<Metadata>,
}

/// One metadata entry.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Metadata {
    /// Lower-case name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Value; bytes that are no UTF-8 are replaced.
    #[prost(string, tag = "2")]
    pub value: String,
}

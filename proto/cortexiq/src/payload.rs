//! The content type of every message that can travel by itself.

/// A message that is the whole payload of an event, a request or a result.
pub trait Payload: prost::Message + Default + Clone + 'static {
    /// Full name, such as `cortexiq.v1.HomeMeasured`.
    const TYPE: &'static str;
    /// Content type, such as `application/x-protobuf; type=cortexiq.v1.HomeMeasured`.
    const CONTENT_TYPE: &'static str;
}

/// Written behind the generated messages, with all of their names.
macro_rules! payloads {
    ($($message:ident)*) => {$(
        impl crate::Payload for $message {
            const TYPE: &'static str = concat!("cortexiq.v1.", stringify!($message));
            const CONTENT_TYPE: &'static str =
                concat!("application/x-protobuf; type=cortexiq.v1.", stringify!($message));
        }
    )*};
}
pub(crate) use payloads;

#[cfg(test)]
mod tests {
    use prost::Name as _;

    use super::Payload as _;
    use crate::HomeMeasured;

    #[test]
    fn the_type_is_the_full_name() {
        assert_eq!(HomeMeasured::TYPE, HomeMeasured::full_name());
    }
}

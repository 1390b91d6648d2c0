//! rumqttd with the configuration in the JSON file that the only argument names.

fn main() {
    let path = std::env::args().nth(1).expect("a configuration file");
    let text = std::fs::read_to_string(path).expect("a file that can be read");
    let config = serde_json::from_str(&text).expect("a configuration of rumqttd");
    rumqttd::Broker::new(config).start().expect("a broker");
}

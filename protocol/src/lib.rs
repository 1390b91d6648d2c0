//! Sans-IO MQTT 3.1.1.

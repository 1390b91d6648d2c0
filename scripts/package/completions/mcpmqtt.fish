# fish completion for mcpmqtt; a test holds it against --help.

for command in mcpmqtt mcpMQTT
    complete -c $command -f
    complete -c $command -l config -r -F -d 'Configuration file'
    complete -c $command -l transport -x -a 'stdio remotehttp' -d 'How agents reach it'
    complete -c $command -l log-level -x -a 'DEBUG INFO WARNING ERROR CRITICAL' -d 'The least important records to keep'
    complete -c $command -l logfile -r -F -d 'Append the log to this file'
    complete -c $command -l drain -x -d 'Seconds for calls in flight when the input has ended'
    complete -c $command -l check -d 'Say what the configuration means and if it would start'
    complete -c $command -l connect -d 'With --check: try the broker and each readable pattern'
    complete -c $command -l seconds -x -d 'With --connect: seconds to listen to each pattern'
    complete -c $command -l publish -x -d 'With --connect: publish one message to this topic'
    complete -c $command -l profile -x -d 'The profile of the caller, or with --genkey NAME of the key'
    complete -c $command -l genkey -d 'Put a new API key into the configuration, print it, exit'
    complete -c $command -l revoke -x -d 'Take the API key with this name out of the configuration'
    complete -c $command -l keys -d 'List the API keys with their names and dates'
    complete -c $command -l demo -d 'Use a broker and a simulated plant inside the program'
    complete -c $command -l call -x -a 'mqtt_publish mqtt_subscribe mqtt_read mqtt_query mqtt_topics mqtt_wait mqtt_stats' -d 'Call one tool, print its result, exit'
    complete -c $command -l as -x -d 'With --explain: the name of the key or profile that asks'
    complete -c $command -l explain -x -a 'publish subscribe' -d 'Say if an agent may publish or subscribe, and why'
    complete -c $command -l json -d 'With --call or --check: print the result as JSON'
    complete -c $command -s h -l help -d 'Print a short help'
    complete -c $command -s V -l version -d 'Print the version'
end

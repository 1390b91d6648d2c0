# bash completion for mcpmqtt; a test holds it against --help.

_mcpmqtt() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
  COMPREPLY=()
  case $before in
    --config | --logfile | --init | --password-file | --ca-file | --verify-audit)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      ;;
    --transport) mapfile -t COMPREPLY < <(compgen -W "stdio remotehttp" -- "$word") ;;
    --drain | --seconds | --publish | --broker | --username | --topic | --name | --url | --anchor) ;;
    --install | --uninstall) mapfile -t COMPREPLY < <(compgen -W "claude claude-desktop code codex cursor gemini zed" -- "$word") ;;
    --log-level) mapfile -t COMPREPLY < <(compgen -W "DEBUG INFO WARNING ERROR CRITICAL" -- "$word") ;;
    --explain) mapfile -t COMPREPLY < <(compgen -W "publish subscribe" -- "$word") ;;
    --call) mapfile -t COMPREPLY < <(compgen -W "mqtt_publish mqtt_subscribe mqtt_read mqtt_query mqtt_topics mqtt_wait mqtt_stats" -- "$word") ;;
    *)
      local options="--config --transport --log-level --logfile --drain --check --connect --seconds --publish --profile --genkey --revoke --keys --init --broker --username --password-file --tls --ca-file --topic --key --yes --install --uninstall --name --url --dry-run --demo --call --explain --as --verify-audit --anchor --json --help --version -h -V"
      mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
      ;;
  esac
}
complete -F _mcpmqtt mcpmqtt mcpMQTT

# Completion of autochroot(1) for bash.
_autochroot() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} words=
    case $previous in
        -r | --root) words='auto detached unlinked failfs /' ;;
        -p | --parent) mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
        -f | --file) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
        -u | --user) mapfile -t COMPREPLY < <(compgen -u -- "$current"); return ;;
        --userns) words='auto always never' ;;
        --id-map) words='identity none' ;;
        --caps) words='none all net_bind_service' ;;
        --require) words='landlock seccomp bounding-set securebits keyring' ;;
        --keep-fds) words='all' ;;
        *)
            [[ $current = -* ]] && words='--root --parent --file --writable --user --userns --id-map --caps --keep-fds --no-seal
                --require --allow-io-uring --no-connect --log-denials --check --verbose --quiet --help --version'
            ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o default -F _autochroot autochroot

#compdef autochroot
# Completion of autochroot(1) for zsh.
_arguments -s -S \
    '(-r --root)'{-r,--root}'[the root]:root:(auto detached unlinked failfs /)' \
    '(-p --parent)'{-p,--parent}'[where an unlinked root is made]:directory:_directories' \
    '*'{-f,--file}'[copy a file into the root]:file:_files' \
    '--writable[a directory that can be written]:size:(1M 10M 100M)' \
    '(-u --user)'{-u,--user}'[become this user]:user:_users' \
    '--userns[when to use a user namespace]:when:(auto always never)' \
    '--id-map[ids in a user namespace]:map:(identity none)' \
    '--caps[capabilities to keep]:names:(none all net_bind_service)' \
    '--keep-fds[descriptors to keep]:numbers:(all)' \
    '--no-seal[change the root only]' \
    '--require[fail without these]:protections:(landlock seccomp bounding-set securebits keyring)' \
    '--allow-io-uring[allow io_uring]' \
    '--no-connect[refuse new sockets and connections]' \
    '--log-denials[log what Landlock refuses]' \
    '--check[enter, print what is found, and run nothing]' \
    '(-v --verbose)'{-v,--verbose}'[print that, then run the program]' \
    '(-q --quiet)'{-q,--quiet}'[do not warn]' \
    '(-h --help)'{-h,--help}'[print a summary]' \
    '(-V --version)'{-V,--version}'[print the version]' \
    '1:program:_command_names -e' \
    '*::arguments:_normal'

#!/busybox sh
# `/init` of a machine for which CI has only a busybox: runs the tests of the library.
for directory in proc dev/shm run tmp var/tmp usr mnt etc; do /busybox mkdir -p /$directory; done
/busybox mount -t proc proc /proc
/busybox mount -t devtmpfs dev /dev
/busybox mkdir -p /dev/shm
for directory in /dev/shm /run /tmp /var/tmp; do /busybox mount -t tmpfs tmpfs $directory; done
/busybox chmod 755 /
/busybox ip link set lo up
echo root:x:0:0::/:/bin/sh >/etc/passwd
cd /
/library --test-threads=1 files:: jail:: seal::
echo "== library, status $?"
/allocations --test-threads=1
echo "== allocations, status $?"
/busybox sleep 2
/busybox reboot -f

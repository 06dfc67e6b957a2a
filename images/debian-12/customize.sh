#!/bin/sh
# Turns the chroot that mmdebstrap made into the image's files. Runs inside the chroot, as its root.
# In: /nested-check, a copy of this folder. Out: /nested-check/out.
set -eu
cd /nested-check
mkdir -p out

echo 'nested-check: kernel'
# --- kernel: unpacked, not installed, so that nothing generates an initramfs that we don't use
package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
apt-get download -q "$package"
dpkg-deb -x "$package"_*.deb kernel
for modules in kernel/lib/modules/* kernel/usr/lib/modules/*; do [ ! -d "$modules" ] || break; done
release=${modules##*/}
mkdir -p /lib/modules
mv "$modules" /lib/modules/
depmod "$release"

# The kernel is taken out of its self-extracting shell: QEMU starts the bare ELF file directly (PVH), and
# no level spends time decompressing it. Where the payload starts: Documentation/arch/x86/boot.rst.
bzimage=$(ls kernel/boot/vmlinuz-*)
word() { od -An -j "$1" -N "$2" -tu"$2" "$bzimage" | tr -d ' '; }
start=$((($(word 497 1) + 1) * 512 + $(word 584 4)))
length=$(word 588 4)
tail -c +$((start + 1)) "$bzimage" | head -c "$length" >payload
# All but xz complain of the four bytes that end the payload, its length.
case $(od -An -N 4 -tx1 payload | tr -d ' ') in
  fd377a58) xz -dc --single-stream payload >out/vmlinuz ;;
  1f8b*) gzip -dcq payload >out/vmlinuz 2>/dev/null || : ;;
  28b52ffd) zstd -dcq payload >out/vmlinuz 2>/dev/null || : ;;
  02214c18) lz4 -dcq payload >out/vmlinuz 2>/dev/null || : ;;
  *)
    echo "customize.sh: the kernel's compression is not known" >&2
    exit 1
    ;;
esac
[ "$(od -An -N 4 -tx1 out/vmlinuz | tr -d ' ')" = 7f454c46 ] || { echo 'customize.sh: no ELF kernel came out' >&2; exit 1; }

# --- initramfs: busybox and the modules between the kernel and its root, in the order they are loaded
mkdir -p initramfs/bin initramfs/lib
cp /bin/busybox initramfs/bin/busybox
cp initramfs-init initramfs/init
chmod 755 initramfs/init
modprobe --all --show-depends --ignore-install -S "$release" \
  virtio_pci virtio_blk virtio_console virtio_rng erofs overlay 2>/dev/null |
  sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' >modules
while read -r module; do
  cp "$module" initramfs/lib/
  basename "$module" >>initramfs/lib/order
done <modules
(cd initramfs && find . | busybox cpio -o -H newc) >out/initramfs.img 2>/dev/null

# --- system
for user in libvirt-qemu; do # libvirt wants it to exist even where QEMU runs as root
  grep -q "^$user:" /etc/passwd || echo "$user:x:64055:64055::/nonexistent:/usr/sbin/nologin" >>/etc/passwd
  grep -q "^$user:" /etc/group || echo "$user:x:64055:" >>/etc/group
done
mkdir -p /usr/lib/nested-check /etc/libvirt /var/log/libvirt/qemu /var/cache/libvirt/qemu /var/lib/libvirt/qemu
cp boot agent host /usr/lib/nested-check/
chmod 755 /usr/lib/nested-check/*
cp inittab /etc/inittab
cp qemu.conf libvirtd.conf /etc/libvirt/
ln -sf /bin/busybox /sbin/init
mkdir -p /usr/lib/busybox
busybox --install -s /usr/lib/busybox
echo nested-check >/etc/hostname
printf '127.0.0.1 localhost\n' >/etc/hosts
rm -f /etc/resolv.conf /etc/machine-id
: >/etc/resolv.conf

dpkg-query -W -f '${Package}\t${Version}\n' >out/packages.tsv
dpkg-deb -W --showformat '${Package}\t${Version}\n' "$package"_*.deb >>out/packages.tsv

# --- what no level needs
rm -rf /usr/share/doc /usr/share/man /usr/share/info /usr/share/locale /usr/share/lintian /usr/share/bug \
  /usr/share/icons /usr/share/applications /usr/share/perl5 /usr/share/zoneinfo /usr/share/bash-completion \
  /usr/lib/udev /usr/lib/systemd /usr/lib/locale /usr/share/i18n /usr/lib/x86_64-linux-gnu/perl-base \
  /usr/bin/perl* /usr/share/perl /usr/lib/x86_64-linux-gnu/perl /usr/bin/qemu-system-i386 /usr/libexec/qemu-system-i386 \
  /usr/bin/qemu-system-x86_64-microvm /usr/share/libvirt/test-screenshot.png \
  /usr/lib/ipxe /usr/share/qemu/keymaps /usr/share/qemu/edk2* /var/lib/apt /var/cache/apt /var/lib/dpkg /var/cache/debconf
find /usr/lib/x86_64-linux-gnu/qemu -name 'audio-*' -delete 2>/dev/null || :
find /usr/lib/x86_64-linux-gnu/gconv -type f -delete 2>/dev/null || :
find "/lib/modules/$release/kernel" -path '*/drivers/net/ethernet/*' -delete 2>/dev/null || :

# --- root disk: kernel and initramfs inside, so that every level finds in itself what the next one boots
mkdir -p /boot
cp out/vmlinuz /boot/vmlinuz
cp out/initramfs.img /boot/initramfs.img
echo 'nested-check: compressing'
mkfs.erofs -x-1 -zlz4hc -T 0 --exclude-regex='^(nested-check|proc|sys|dev|run|tmp)/.+' out/root.erofs / >/dev/null

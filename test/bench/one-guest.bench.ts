// What nested-check adds to one guest: in the same emulated host, the same kernel, initramfs and root are started
// through libvirt, watched and looked into (boot to facts), and with plain QEMU until the same agent answers, in turn.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { kernelCommandLine } from '../../src/domain/domain-xml.ts';
import { startEmulatedHost } from '../../src/host/emulated.ts';
import { destroyGuest, startGuest } from '../../src/host/guest.ts';
import type { Host } from '../../src/host/host.ts';
import { ensureImage } from '../../src/image/cache.ts';
import { look } from '../../src/run/look.ts';
import { plan } from '../../src/scenario/plan.ts';
import { Scenario } from '../../src/scenario/schema.ts';
import { ratios } from './ratios.ts';

const { signal } = new AbortController();
const ROUNDS = 5;

/** Plain QEMU on the host, as little as boots the same guest; the agent is greeted through a pair of FIFOs. */
const PLAIN = `
cd /tmp; rm -f qga.in qga.out; mkfifo qga.in qga.out
qemu-system-x86_64 -machine q35,accel=kvm -cpu host -m "$1" -smp 1 -nodefaults -no-user-config -display none -no-reboot \
  -kernel /boot/vmlinuz -initrd /boot/initramfs.img -append "$2" -serial file:/tmp/plain.console \
  -drive if=none,id=root,format=raw,readonly=on,file=/dev/vda -device virtio-blk-pci,drive=root \
  -object rng-random,id=rng,filename=/dev/urandom -device virtio-rng-pci,rng=rng \
  -chardev pipe,id=qga,path=/tmp/qga -device virtio-serial-pci -device virtserialport,chardev=qga,name=org.qemu.guest_agent.0 &
qemu=$!
echo '{"execute":"guest-ping"}' >qga.in
read -r answer <qga.out
kill $qemu
wait $qemu
echo "$answer"
`;

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

test('one guest, boot to facts, against plain QEMU to the agent’s answer', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'nested-check-bench-'));
  const environment = { cwd: '/', env: process.env, stdout: process.stdout, stderr: process.stderr, signal };
  const image = await ensureImage('debian-12', { environment, onProgress: () => {} });
  const host = await startEmulatedHost(
    { image, cpu: 'max', memoryMiB: 1536, vcpus: 1, folder, reason: 'bench', bootSeconds: 120 },
    signal,
  );
  try {
    await host.exec({ argv: ['flock', '-s', '/run/nested-check/starting', 'true'], timeoutMs: 120_000 }, signal);
    const ours: number[] = [];
    const plain: number[] = [];
    for (let round = 0; round <= ROUNDS; round++) {
      const a = await seconds(() => throughLibvirt(host, `bench-${round}`));
      await destroyGuest(host, `bench-${round}`);
      const b = await seconds(() => withPlainQemu(host));
      if (round === 0) continue; // the first warms the host's caches, for both
      ours.push(a);
      plain.push(b);
    }
    process.stdout.write(`${ratios('nested-check, boot to facts', ours, 'plain QEMU, boot to agent', plain)}\n`);
  } finally {
    await host[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  }
});

const [level] = plan([Scenario.parse({ name: 'bench', description: 'one guest' })])[0]?.levels ?? [];

async function throughLibvirt(host: Host, name: string): Promise<void> {
  if (level === undefined) throw new Error('the plan has no level');
  const lease = { run: 'bench', case: 'bench', level: 1, pid: process.pid, startTime: '0' };
  const input = { name, accelerator: 'kvm' as const, plan: level, lease, kernelWords: [] };
  const guest = await startGuest(host, input, 120, signal, async () => {});
  expect((await look(guest, false, 120, signal)).facts?.virtualization).toBe('svm');
}

async function withPlainQemu(host: Host): Promise<void> {
  const argv = ['sh', '-c', PLAIN, 'plain', `${level?.memoryMiB}`, kernelCommandLine(false, [])] as const;
  const output = await host.exec({ argv: [...argv], timeoutMs: 120_000 }, signal);
  expect(output.stdout).toContain('"return"');
}

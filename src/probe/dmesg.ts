// The kernel log of a level, and what in it speaks of trouble with KVM or of a broken kernel.
import type { Probe } from './probe.ts';

export const dmesgProbe: Probe = {
  name: 'dmesg',
  description: 'kernel log',
  script: 'dmesg | tail -c 400000',
};

const TROUBLE: readonly RegExp[] = [
  /\bOops\b/,
  /\bBUG:/,
  /Kernel panic/,
  /general protection fault/,
  /soft lockup|hard LOCKUP/,
  /rcu.*(?:self-detected stall|detected stalls)/,
  /kvm.*(?:\berror\b|failed|unsupported|disabled by bios|entry failed)/i,
  /accessing unsupported EVMCS field/,
  /unhandled (?:rd|wr)msr/i,
  /XSAVE consistency problem/,
];

/** Known to be harmless: the log says them on machines where all is well. */
const NOISE: readonly RegExp[] = [
  /Unhandled WRMSR\(0xc001000[0-7]\)/i, // Linux guests clear AMD's performance counters, which KVM does not emulate
];

/** A kernel writes no longer lines; a hostile guest might, to keep the patterns busy. */
const MAX_LINE = 1000;

/** Lines of a kernel log that speak of trouble, at most 20, in order. */
export function dmesgTrouble(log: string): string[] {
  return log
    .split('\n')
    .map((line) => line.slice(0, MAX_LINE))
    .filter((line) => TROUBLE.some((pattern) => pattern.test(line)) && !NOISE.some((pattern) => pattern.test(line)))
    .slice(0, 20);
}

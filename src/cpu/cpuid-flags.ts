// The kernel's names for CPUID's feature bits.
import { type CpuidLeaves, leaf } from './cpuid.ts';

/** Leaf, subleaf, register, and the names of its bits by bit number (arch/x86/include/asm/cpufeatures.h of Linux 6.12). */
type Word = readonly [number, number, 'eax' | 'ebx' | 'ecx' | 'edx', Readonly<Record<number, string>>];

const WORDS: readonly Word[] = [
  [
    1,
    0,
    'edx',
    names(`
    fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - dts acpi mmx fxsr
    sse sse2 ss ht tm ia64 pbe`),
  ],
  [
    1,
    0,
    'ecx',
    names(`
    pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - pcid dca sse4_1
    sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave - avx f16c rdrand hypervisor`),
  ],
  [6, 0, 'eax', names('dtherm ida arat - pln - pts hwp hwp_notify hwp_act_window hwp_epp hwp_pkg_req')],
  [
    7,
    0,
    'ebx',
    names(`
    fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm cqm - mpx rdt_a avx512f avx512dq
    rdseed adx smap avx512ifma - clflushopt clwb intel_pt avx512pf avx512er avx512cd sha_ni avx512bw
    avx512vl`),
  ],
  [
    7,
    0,
    'ecx',
    names(`
    - avx512vbmi umip pku ospke waitpkg avx512_vbmi2 - gfni vaes vpclmulqdq avx512_vnni avx512_bitalg tme
    avx512_vpopcntdq - la57 - - - - - rdpid - bus_lock_detect cldemote - movdiri movdir64b enqcmd sgx_lc`),
  ],
  // 26, 27 and 31 are shown under the names that Linux gives to what they make possible.
  [
    7,
    0,
    'edx',
    names(`
    - - avx512_4vnniw avx512_4fmaps fsrm - - - avx512_vp2intersect - md_clear - - - serialize - tsxldtrk -
    pconfig arch_lbr ibt - amx_bf16 avx512_fp16 amx_tile amx_int8 ibrs,ibpb stibp flush_l1d
    arch_capabilities - ssbd`),
  ],
  [7, 1, 'eax', names('- - - - avx_vnni avx512_bf16 - - - - - - - - - - - - - - - - - - - - lam')],
  [0xd, 1, 'eax', names('xsaveopt xsavec xgetbv1 xsaves')],
  [
    0x80000001,
    0,
    'edx',
    names(`
    - - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm 3dnowext
    3dnow`),
  ],
  [
    0x80000001,
    0,
    'ecx',
    names(`
    lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt -
    lwp fma4 tce - nodeid_msr - tbm topoext perfctr_core perfctr_nb - bpext ptsc perfctr_llc mwaitx`),
  ],
  [0x80000007, 0, 'ebx', names('overflow_recov succor - smca')],
  [0x80000007, 0, 'edx', names('- - - - - - - hw_pstate constant_tsc,nonstop_tsc cpb - proc_feedback acc_power')],
  [
    0x80000008,
    0,
    'ebx',
    names(`
    clzero irperf xsaveerptr - rdpru - - - - wbnoinvd - - ibpb - ibrs stibp - - - - - - - amd_ppin ssbd
    virt_ssbd - cppc - - - brs`),
  ],
  [
    0x8000000a,
    0,
    'edx',
    names(`
    npt lbrv svm_lock nrip_save tsc_scale vmcb_clean flushbyasid decodeassists - - pausefilter - pfthreshold
    avic - v_vmsave_vmload vgif - x2avic - v_spec_ctrl - - - - vnmi`),
  ],
];

/** Every flag that `cpuidFlags` can find, to tell a flag that is off from one that a dump can't show. */
export const CPUID_FLAGS: ReadonlySet<string> = new Set(
  WORDS.flatMap(([, , , bitNames]) => Object.values(bitNames).flatMap(split)),
);

/**
 * Feature bits by the names /proc/cpuinfo has for them, sorted; null for a dump without leaf 1. Flags that the kernel
 * makes up (`nopl`, `rep_good`) or takes away (for missing microcode, by boot options) are not known here.
 */
export function cpuidFlags(leaves: CpuidLeaves): string[] | null {
  if (leaf(leaves, 1) === null) return null;
  const flags = new Set<string>();
  for (const [number, subleaf, register, bitNames] of WORDS) {
    const value = leaf(leaves, number, subleaf)?.[register] ?? 0;
    for (const [bit, name] of Object.entries(bitNames)) {
      if ((value >>> Number(bit)) & 1) for (const flag of split(name)) flags.add(flag);
    }
  }
  return [...flags].sort();
}

function split(name: string): string[] {
  return name.split(',');
}

/** Names of the bits from 0 on, `-` for those that /proc/cpuinfo doesn't show, a comma where one bit is shown as two flags. */
function names(text: string): Readonly<Record<number, string>> {
  return Object.fromEntries([...text.trim().split(/\s+/).entries()].filter(([, name]) => name !== '-'));
}

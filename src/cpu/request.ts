// A guest CPU as a scenario asks for it, in libvirt's words (https://libvirt.org/formatdomain.html#cpu-model-and-topology).
import { z } from 'zod';

const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'must be a name as libvirt spells it');

const CPU_MODES = ['none', 'custom', 'host-model', 'host-passthrough', 'maximum'] as const;

const Topology = z
  .strictObject({
    sockets: z.int().min(1).max(64),
    dies: z.int().min(1).max(64).optional().describe('dies per socket; default 1'),
    cores: z.int().min(1).max(512).describe('cores per die'),
    threads: z.int().min(1).max(8).describe('threads per core'),
  })
  .describe('how the vCPUs are arranged; their product is the number of vCPUs');

const CpuObject = z
  .strictObject({
    mode: z.enum(CPU_MODES, 'unknown mode').describe('libvirt cpu mode; `none` writes no <cpu> element'),
    model: name.optional().describe('named CPU model, for mode custom'),
    fallback: z
      .enum(['allow', 'forbid'], 'unknown fallback')
      .optional()
      .describe('may libvirt take another model? (modes custom and host-model)'),
    vendor: z.enum(['Intel', 'AMD', 'Hygon', 'VIA'], 'unknown vendor').optional().describe('vendor the host must have'),
    match: z
      .enum(['minimum', 'exact', 'strict'], 'unknown match')
      .optional()
      .describe('how closely the guest CPU follows this description'),
    check: z
      .enum(['none', 'partial', 'full'], 'unknown check')
      .optional()
      .describe('how libvirt compares the CPU with what it got before it starts the guest'),
    migratable: z.boolean().optional().describe('leave out what can not migrate? (host-passthrough and maximum)'),
    features: z
      .record(name, z.enum(['force', 'require', 'optional', 'disable', 'forbid'], 'unknown policy'))
      .optional()
      .describe('CPU features by name and policy, as libvirt names them'),
    cache: z
      .strictObject({
        mode: z.enum(['emulate', 'passthrough', 'disable'], 'unknown cache mode'),
        level: z.int().min(1).max(3).optional(),
      })
      .optional()
      .describe('what the guest sees of caches'),
    topology: Topology.optional(),
  })
  .superRefine((cpu, context) => {
    const { mode } = cpu;
    const complain = (key: string, message: string) => context.addIssue({ code: 'custom', path: [key], message });
    if (mode === 'custom' && cpu.model === undefined) complain('mode', 'custom needs a model');
    if (mode === 'none') {
      for (const key of Object.keys(cpu)) {
        if (key !== 'mode') complain(key, 'can not be set with mode none, which writes no <cpu>');
      }
      return;
    }
    if (mode !== 'custom' && cpu.model !== undefined) complain('model', `needs mode custom, not ${mode}`);
    if (cpu.migratable !== undefined && mode !== 'host-passthrough' && mode !== 'maximum') {
      complain('migratable', `needs mode host-passthrough or maximum, not ${mode}`);
    }
  });

/** A guest CPU, wholly decided. */
export type CpuRequest = z.output<typeof CpuObject>;

const CpuMode = z.enum(CPU_MODES).exclude(['custom'], {
  error: ({ input }) => {
    if (input === 'custom') return 'custom needs a model, as in {mode: custom, model: EPYC}';
    const isModel = typeof input === 'string' && /^[A-Z]|\d/.test(input);
    return isModel ? 'a named model needs mode custom, as in {mode: custom, model: EPYC}' : 'unknown mode';
  },
});

/** In a scenario: `host-passthrough` for short, or an object. */
export const CpuRequest = z.union([CpuMode.transform((mode): CpuRequest => ({ mode })), CpuObject]);

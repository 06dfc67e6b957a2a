// A guest CPU as a scenario asks for it, in libvirt's words (https://libvirt.org/formatdomain.html#cpu-model-and-topology).
import { z } from 'zod';

const name = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/, 'must be a name as libvirt spells it');

export const CPU_MODES = ['none', 'custom', 'host-model', 'host-passthrough', 'maximum'] as const;

const CpuObject = z
  .strictObject({
    mode: z.enum(CPU_MODES).describe('libvirt cpu mode; `none` writes no <cpu> element'),
    model: name.optional().describe('named CPU model, for mode custom'),
    fallback: z.enum(['allow', 'forbid']).optional().describe('may libvirt take another model? (mode custom)'),
    vendor: z.enum(['Intel', 'AMD', 'Hygon', 'VIA']).optional().describe('vendor the host must have'),
    match: z.enum(['minimum', 'exact', 'strict']).optional(),
    check: z.enum(['none', 'partial', 'full']).optional(),
    migratable: z.boolean().optional().describe('for host-passthrough and maximum'),
    features: z
      .record(name, z.enum(['force', 'require', 'optional', 'disable', 'forbid']))
      .optional()
      .describe('CPU features by name and policy, as libvirt names them'),
    cache: z
      .strictObject({
        mode: z.enum(['emulate', 'passthrough', 'disable']),
        level: z.int().min(1).max(3).optional(),
      })
      .optional(),
    topology: z
      .strictObject({
        sockets: z.int().min(1),
        dies: z.int().min(1).optional(),
        cores: z.int().min(1),
        threads: z.int().min(1),
      })
      .optional(),
  })
  .superRefine((cpu, context) => {
    if (cpu.mode === 'custom' && cpu.model === undefined) {
      context.addIssue({ code: 'custom', path: ['mode'], message: 'mode custom needs a model' });
    }
    if (cpu.mode !== 'custom' && cpu.model !== undefined) {
      context.addIssue({ code: 'custom', path: ['model'], message: `a model needs mode custom, not ${cpu.mode}` });
    }
    if (cpu.mode === 'none' && Object.keys(cpu).length > 1) {
      context.addIssue({ code: 'custom', path: ['mode'], message: 'mode none writes no <cpu>, so nothing else can be set' });
    }
    if (cpu.migratable !== undefined && cpu.mode !== 'host-passthrough' && cpu.mode !== 'maximum') {
      context.addIssue({
        code: 'custom',
        path: ['migratable'],
        message: 'migratable needs mode host-passthrough or maximum',
      });
    }
  });

/** A guest CPU, wholly decided. */
export type CpuRequest = z.output<typeof CpuObject>;

/** In a scenario: `host-passthrough` for short, or an object. */
export const CpuRequest = z.union([
  z
    .enum(CPU_MODES)
    .exclude(['custom'])
    .transform((mode): CpuRequest => ({ mode })),
  CpuObject,
]);

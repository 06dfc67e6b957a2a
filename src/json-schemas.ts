// The JSON schemas that are published with the program, made from the schemas that it checks with itself.
import { z } from 'zod';
import { FORMAT, Report } from './report/report.ts';
import { Scenario } from './scenario/schema.ts';

/** Text of each file in scenarios/, by file name. */
export function jsonSchemas(): Record<string, string> {
  return {
    'scenario.schema.json': textOf('urn:nested-check:scenario', z.toJSONSchema(Scenario, { io: 'input' })),
    'run.schema.json': textOf('urn:nested-check:run:1', {
      title: 'nested-check run report',
      description: `The report of a run (run.json), format ${FORMAT}`,
      ...z.toJSONSchema(Report, { io: 'output' }),
    }),
  };
}

function textOf(id: string, { $schema, ...schema }: Record<string, unknown>): string {
  return `${JSON.stringify({ $schema, $id: id, ...schema }, null, 2)}\n`;
}

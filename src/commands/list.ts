// nested-check list
import type { Environment } from '../environment.ts';
import { printable } from '../report/printable.ts';
import { bundledNames, type LoadedScenario, loadScenarios } from '../scenario/load.ts';

export interface ListOptions {
  readonly json?: boolean;
}

interface Row {
  readonly name: string;
  readonly depth: { readonly 'at-least': number; readonly try: number };
  readonly tags: readonly string[];
  readonly description: string;
  readonly file: string;
}

/** Prints a line for each scenario (all bundled ones without arguments); with `json` an array of objects. Returns 0. */
export async function list(
  scenarios: readonly string[],
  options: ListOptions,
  environment: Environment,
): Promise<number> {
  const names = scenarios.length > 0 ? scenarios : await bundledNames();
  const rows = (await loadScenarios(names, environment)).map(rowOf);
  const lines = options.json === true ? [JSON.stringify(rows, null, 2)] : table(rows);
  environment.stdout.write(lines.map((line) => `${line}\n`).join(''));
  return 0;
}

function rowOf({ scenario, file }: LoadedScenario): Row {
  const { name, tags, description, levels } = scenario;
  const depth = scenario.depth ?? { 'at-least': levels.length, try: levels.length };
  return { name, depth, tags, description, file };
}

function table(rows: readonly Row[]): string[] {
  const cells = rows.map(({ name, depth, tags, description }) => [
    name,
    `depth ${depth['at-least'] === depth.try ? depth.try : `${depth['at-least']} to ${depth.try}`}`,
    tags.length > 0 ? `[${tags.join(', ')}]` : '',
    printable(description.split('\n', 1)[0] ?? ''),
  ]);
  const widths = [0, 1, 2].map((column) => Math.max(0, ...cells.map((row) => row[column]?.length ?? 0)));
  return cells.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

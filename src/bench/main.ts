/**
 * Measures: `npm run bench`, or `npm run bench -- NAME...` for single subjects. The load of the machine is printed with
 * the figures.
 */
import os from 'node:os';
import { Command, Option } from 'commander';
import type { MachineKind } from '../machine/kinds.js';
import { formatTable } from '../cli/table.js';
import { BenchContext } from './context.js';
import { subjects } from './registry.js';
import type { Row, Subject } from './subject.js';

interface BenchOptions {
  machine: MachineKind | 'auto';
  cpu?: string;
  json?: boolean;
  list?: boolean;
}

const say = (text: string): void => void process.stderr.write(`${text}\n`);

function chosen(names: readonly string[]): Subject[] {
  const unknown = names.filter((name) => !subjects.some((subject) => subject.name === name));
  if (unknown.length > 0) {
    const known = subjects.map(({ name }) => name).join(', ');
    throw new Error(`Unknown subject ${unknown.join(', ')}. Subjects: ${known}.`);
  }
  return subjects.filter(({ name }) => names.length === 0 || names.includes(name));
}

const load = (): string => `${os.loadavg()[0].toFixed(1)} on ${os.cpus().length} processors`;

async function bench(names: readonly string[], options: BenchOptions): Promise<void> {
  if (options.list) {
    process.stdout.write(formatTable(subjects.map(({ name, about }) => [name, about])));
    return;
  }
  const wanted = chosen(names);
  const context = new BenchContext({ machine: options.machine, cpu: options.cpu }, say);
  const results: { subject: string; rows: Row[] }[] = [];
  const loadBefore = load();
  try {
    for (const subject of wanted) results.push({ subject: subject.name, rows: await subject.run(context) });
  } finally {
    context.close();
  }
  const facts = { machine: context.machineDescription, loadBefore, loadAfter: load() };
  if (options.json) {
    process.stdout.write(`${JSON.stringify({ ...facts, results })}\n`);
    return;
  }
  const rows = results.flatMap(({ rows }) =>
    rows.map(({ what, measured, aim = '' }) => [what, measured, aim]),
  );
  process.stdout.write(formatTable([['what', 'measured', 'aim'], ...rows]));
  process.stdout.write(
    `machine: ${facts.machine}\nload: ${facts.loadBefore} before, ${facts.loadAfter} after\n`,
  );
}

const program = new Command('npm run bench --')
  .description('Measures speed and memory. Without names: everything.')
  .argument('[subjects...]', 'what to measure')
  .addOption(
    new Option('--machine <kind>', 'where').choices(['host', 'process', 'emulated', 'auto']).default('auto'),
  )
  .option('--cpu <model>', "processor of the emulated machine, as QEMU's -cpu names it")
  .option('--json', 'one JSON document')
  .option('--list', 'names the subjects');
program.action(bench);
program.parseAsync().catch((error: unknown) => {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
});

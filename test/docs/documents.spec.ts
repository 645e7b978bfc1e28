/** Each command and each code block of the documents is run, and prints what they say. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { root } from '../deploy/options.js';
import { blocksOf, listedCommands, patternOf, transcriptOf, withoutNoise, type Block } from './blocks.js';

const DOCUMENTS = [
  'README.md',
  'examples/README.md',
  ...fs
    .readdirSync(path.join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

const blocks = DOCUMENTS.flatMap((name) => blocksOf(name, fs.readFileSync(path.join(root, name), 'utf8')));
const toRun = blocks.filter(({ notRun }) => notRun === null);

/** A folder with what the documents name: the command, traces, programs. */
let folder: string;

beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'documents-'));
  for (const name of ['bin', 'traces', 'test', 'examples', 'node_modules'])
    fs.symlinkSync(path.join(root, name), path.join(folder, name));
});
afterAll(() => fs.rmSync(folder, { recursive: true }));

interface Ran {
  status: number | null;
  /** Both streams, as a terminal shows them. */
  output: string;
}

/**
 * Runs a line as a shell does.
 * @param until ends it by Ctrl-C when its output has this
 */
async function run(line: string, cwd = folder, until?: RegExp): Promise<Ran> {
  const child = spawn('bash', ['-c', `exec 2>&1; ${until ? 'exec ' : ''}${line}`], {
    cwd,
    env: {
      ...process.env,
      PATH: `${path.join(root, 'bin')}:${process.env.PATH}`,
      XDG_CACHE_HOME: path.join(folder, 'cache'),
      GITHUB_ACTIONS: '',
      COLUMNS: '',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  let told = false;
  child.stdout.on('data', (bytes: Buffer) => {
    output += bytes.toString('utf8');
    // Once: a second one ends it without waiting.
    if (!told && until?.test(output)) told = child.kill('SIGINT');
  });
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, output: withoutNoise(output) };
}

/** Substitutions for the lists' commands, for names that the reader chooses. */
const LISTED: Record<string, string | { not: string }> = {
  'npm install -g ./revenant-0.2.0.tgz': { not: 'test/deploy/package.spec.ts installs the package' },
  'revenant doctor TRACE': 'revenant doctor traces/zen2/crash',
  'revenant gdb TRACE --at-crash': 'revenant gdb traces/zen2/crash --at-crash -- -batch',
  'revenant ci FOLDER --html report.html': 'revenant ci traces/zen2/hello-static --html report.html',
  'revenant setup': 'revenant setup',
  'revenant completion bash|zsh|fish': 'revenant completion bash',
  'revenant replay TRACE': 'revenant replay traces/zen2/hello-static',
  'revenant replay TRACE --goto 100': 'revenant replay traces/zen2/crash --goto 100',
  'revenant replay TRACE --verify-ticks': 'revenant replay traces/zen2/hello-static --verify-ticks',
  'revenant replay --all DIR...': 'revenant replay --all traces/rome-pku traces/haswell/loop',
  'revenant ci [MANIFEST|FOLDER]': 'revenant ci traces/rome-pku',
  'revenant worker --queue URL': { not: 'needs a Redis; test/jobs/queue.spec.ts has one' },
  'revenant gdb TRACE': 'revenant gdb traces/zen2/crash -- -batch',
  'revenant serve TRACE --listen ADDR': 'revenant serve traces/zen2/crash --listen 127.0.0.1:0',
  'revenant checkpoint TRACE': 'revenant checkpoint traces/zen2/crash --output checkpoints',
  'revenant info TRACE': 'revenant info traces/zen2/crash',
  'revenant dump TRACE [FROM[-TO]]': 'revenant dump traces/zen2/crash 1-2',
  'revenant call TRACE EXPRESSION...': "revenant call traces/skylake-pku/tree --at exit '*root' 'inserted'",
  'revenant doctor [TRACE]': 'revenant doctor traces/zen2/crash',
  'revenant machine start|status|stop': 'revenant machine status',
  'revenant ci traces/': 'revenant ci traces/rome-pku/',
  'revenant ci revenant.yaml': { not: 'the manifest below it in the document is run' },
  'revenant ci --junit out.xml --html out.html --artifacts out/':
    'revenant ci traces/zen2/hello-static --junit out.xml --html out.html --artifacts out/',
  'redis-server': { not: 'needs Redis; test/jobs/queue.spec.ts starts one' },
  'revenant worker --queue redis://HOST:6379': { not: 'needs Redis; test/jobs/queue.spec.ts' },
  'revenant ci --queue redis://HOST:6379 --store s3://traces revenant.yaml': {
    not: 'needs Redis and a bucket; test/jobs/queue.spec.ts',
  },
};

/** Commands that run until they are ended. */
const SERVES = /^(bin\/)?revenant serve /;

/** For a clone's bin/revenant and the installed command. */
const withoutFolder = (command: string): string => command.replace(/^bin\//, '');

async function runListed(command: string): Promise<void> {
  const how = LISTED[withoutFolder(command)];
  expect(how, `${command} is not in a list of commands to run`).toBeDefined();
  if (typeof how !== 'string') return;
  const { status, output } = await run(how, folder, SERVES.test(how) ? /gdb\.py/ : undefined);
  expect({ how, output, status }).toEqual({ how, output, status: SERVES.test(how) ? 130 : 0 });
}

async function runTranscript(block: Block): Promise<void> {
  for (const { command, output } of transcriptOf(block)) {
    const ran = await run(command, folder, SERVES.test(command) ? /gdb\.py\n/ : undefined);
    expect(ran.output.replace(/^revenant: Interrupted\.\n/m, '')).toMatch(patternOf(output));
  }
}

/** A manifest: as revenant.yaml beside traces, each of which it may name. */
async function runManifest({ text }: Block): Promise<void> {
  const here = fs.mkdtempSync(path.join(folder, 'manifest-'));
  for (const name of ['zen2/crash', 'skylake-pku/tree', 'rome-pku/shapes']) {
    fs.mkdirSync(path.dirname(path.join(here, 'traces', name)), { recursive: true });
    fs.symlinkSync(path.join(root, 'traces', name), path.join(here, 'traces', name));
  }
  fs.writeFileSync(path.join(here, 'revenant.yaml'), text);
  const { status, output } = await run(`revenant ci --no-cache revenant.yaml`, here);
  expect({ status, output }).toEqual({ status: 0, output });
}

/** Lines of an editor's console, in a gdb without one. */
async function runConsole({ text }: Block): Promise<void> {
  const commands = text.split('\n').map((line) => `-ex '${line.replace(/^-exec /, '')}'`);
  const { status, output } = await run(
    `revenant gdb traces/skylake-pku/tree --goto 50 -- -batch ${commands.join(' ')}`,
  );
  expect({ status, output }).toEqual({ status: 0, output });
  expect(output).not.toMatch(/rror/);
}

/** A script of the project's folder, which imports the project by its name. */
async function runScript({ text }: Block): Promise<void> {
  const here = fs.mkdtempSync(path.join(root, 'build', 'documents-'));
  try {
    const file = path.join(here, 'script.mjs');
    fs.writeFileSync(file, text);
    const { status, output } = await run(`${process.execPath} ${file}`);
    expect({ status, output }).toEqual({ status: 0, output });
  } finally {
    fs.rmSync(here, { recursive: true });
  }
}

describe.each(toRun.map((block) => [block.where, block] as const))('%s', (_where, block) => {
  const listed = listedCommands(block);
  if (transcriptOf(block).length > 0) it('prints the documented output', () => runTranscript(block));
  else if (listed.length > 0) it.each(listed)('%s', runListed);
  else if (block.text.startsWith('-exec ')) it('is commands of gdb', () => runConsole(block));
  else if (block.language === 'yaml') it('is a manifest that passes', () => runManifest(block));
  else if (block.language === 'js') it('is a script that runs', () => runScript(block));
  else if (block.language === 'json') it('is JSON', () => void JSON.parse(block.text));
  else it('is run or says why not', () => expect.unreachable('It is of no form that can be run.'));
});

it('every line of the lists is in a document', () => {
  const listed = blocks.flatMap(listedCommands).map(withoutFolder);
  expect(Object.keys(LISTED).filter((command) => !listed.includes(command))).toEqual([]);
});

it('skipped blocks give a reason, and name an existing test', () => {
  for (const { where, notRun } of blocks.filter(({ notRun }) => notRun !== null)) {
    expect(notRun!.length, where).toBeGreaterThan(20);
    for (const [name] of notRun!.matchAll(/\btest\/[\w/.-]+\.ts\b/g))
      expect(fs.existsSync(path.join(root, name)), `${where}: ${name}`).toBe(true);
  }
});

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ExitCode } from '../../src/engine/base/errors.js';
import { runCli } from '../cli/run-cli.js';
import { MACHINE } from '../machines.js';
import { pack, streamFile } from '../trace/message-builder.js';
import { decompressed, messagesOf } from '../trace/mutate.js';

const sample = path.resolve(import.meta.dirname, '../../traces/zen2/hello-static');
const expected = fs.readFileSync(path.join(sample, 'expected_stdout'), 'utf8');
const PACKED = fs.readdirSync(sample).find((name) => name.endsWith('_librrpage.so'))!;

let folder: string;
let trace: string;
beforeAll(() => (folder = fs.mkdtempSync(path.join(os.tmpdir(), 'traces-'))));
afterAll(() => fs.rmSync(folder, { recursive: true }));
beforeEach(() => {
  trace = fs.mkdtempSync(path.join(folder, 't-'));
  fs.cpSync(sample, trace, { recursive: true });
});

const replay = (...options: string[]) => runCli('replay', trace, '--machine', MACHINE, ...options);

describe('a trace that was not packed', () => {
  /** A name outside of the trace that is as long as the packed one, so that it fits in its place. */
  let outside: string;

  beforeEach(() => {
    const unique = `${process.pid}${path.basename(trace)}`.replace(/\W/g, '');
    outside = `/tmp/${unique}`.padEnd(PACKED.length, 'x').slice(0, PACKED.length);
    const mmaps = path.join(trace, 'mmaps');
    const messages = messagesOf(decompressed(fs.readFileSync(mmaps)));
    for (const message of messages) {
      const at = message.indexOf(PACKED);
      if (at >= 0) message.write(outside, at, 'latin1');
    }
    fs.writeFileSync(mmaps, streamFile(Buffer.concat(messages.map(pack))));
    fs.renameSync(path.join(trace, PACKED), path.join(trace, 'kept'));
    fs.copyFileSync(path.join(trace, 'kept'), outside);
  });
  afterAll(() => fs.rmSync(outside, { recursive: true, force: true }));

  it('is refused unless the user says that its files may be used', async () => {
    const { code, stdout, stderr } = await replay();
    expect(stderr).toContain(outside);
    expect(stderr).toContain('--unpacked');
    expect(stdout).toBe('');
    expect(code).toBe(ExitCode.trace);
  });

  it('replays with the files of this machine, warning of each that differs', async () => {
    const { code, stdout, stderr } = await replay('--unpacked');
    expect(stderr).not.toContain('is not the file that was recorded');
    fs.appendFileSync(outside, 'more');
    const other = await replay('--unpacked');
    expect(other.stderr).toMatch(
      /warning: .*is not the file that was recorded: size was (\d+), is (?!\1\D)\d+\. /,
    );
    expect(other.stdout).toBe(expected);
    expect(stdout).toBe(expected);
    expect(code).toBe(ExitCode.ok);
  });

  it('opens nothing but regular files', async () => {
    fs.rmSync(outside);
    fs.mkdirSync(outside);
    const { code, stderr } = await replay('--unpacked');
    expect(stderr).toMatch(/not a regular file/);
    expect(code).toBe(ExitCode.trace);
    fs.rmdirSync(outside);
  });
});

describe('a trace whose recorder was killed', () => {
  /** Streams in blocks of 1 KiB, without the last, as if it had not reached the disk. */
  const cut = (name: string): void => {
    const file = path.join(trace, name);
    const plain = decompressed(fs.readFileSync(file));
    fs.writeFileSync(file, streamFile(plain.subarray(0, plain.length - 1024), 1024));
  };

  beforeEach(() => {
    fs.rmSync(path.join(trace, 'version'));
    fs.writeFileSync(path.join(trace, 'incomplete'), '85\n');
  });

  it('has no header: the processor must come from another trace', async () => {
    const { code, stderr } = await replay();
    expect(stderr).toMatch(/recorder was killed/);
    expect(stderr).toMatch(/--like/);
    expect(code).toBe(ExitCode.unsupported);
  });

  it('replays to its end, with a note', async () => {
    const whole = await replay('--like', sample);
    expect(whole.stdout).toBe(expected);
    cut('events');
    const { code, stderr } = await replay('--like', sample);
    expect(stderr).toMatch(/warning: the recorder of .* was killed/);
    expect(code).toBe(ExitCode.ok);
  });

  it('ends where the mapping records end', async () => {
    fs.truncateSync(path.join(trace, 'mmaps'), 0);
    const { code, stdout } = await replay('--like', sample, '--json');
    expect((JSON.parse(stdout) as { frames: number }).frames).toBeLessThan(20);
    expect(code).toBe(ExitCode.ok);
  });
});

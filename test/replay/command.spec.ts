import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { ExitCode } from '../../src/engine/base/errors.js';
import { runCli } from '../cli/run-cli.js';
import { MACHINE } from '../machines.js';

const traces = path.resolve(import.meta.dirname, '../../traces');
const replay = (trace: string, ...options: string[]): ReturnType<typeof runCli> =>
  runCli('replay', path.join(traces, trace), '--machine', MACHINE, ...options);

describe('replay', () => {
  it("writes the program's output and a summary", async () => {
    const { code, stdout, stderr } = await replay('zen2/hello-static');
    expect(stdout).toBe('hello from a recording\n');
    expect(stderr).toMatch(/replayed 46 frames, 1 task, .* status 0\n/);
    const time = String.raw`\d+(\.\d)? (us|ms|s|min( \d+ s)?)`;
    expect(stderr).toMatch(new RegExp(`, ${time}, of which ${time} replaying \\(${time} a frame\\);`));
    expect(stderr).toMatch(/XCR0 0x7 in the guest/);
    expect(code).toBe(0);
  });

  it("prints only the program's output with --quiet", async () => {
    const { stdout, stderr } = await replay('zen2/crash', '--quiet');
    expect(stdout).toBe('good 6\n');
    expect(stderr).toBe('');
  });

  it('puts everything into one document with --json', async () => {
    const { stdout } = await replay('zen2/crash', '--quiet', '--json');
    const document = JSON.parse(stdout);
    expect(document).toMatchObject({ outcome: 'replayed', frames: 125, tasks: 1, status: 139 });
    expect(Buffer.from(document.stdout.base64, 'base64').toString()).toBe('good 6\n');
    expect(document.xcr0).toMatchObject({ recorded: '0x7', guest: '0x7' });
    expect(document.commandSeconds).toBeGreaterThan(document.seconds);
  });

  it('stops after a frame with --goto and prints the position', async () => {
    const { code, stdout, stderr } = await replay('haswell/xcr0probe', '--goto', '100');
    expect(stdout).toMatch(/^after frame 100: task \d+ \(xcr0probe\)\n {2}rip 0x[0-9a-f]+/);
    expect(stdout).toMatch(/orig_rax [0-9a-f]{16}/);
    expect(stdout).toMatch(/r-xp .*ld-linux/);
    expect(stderr).toMatch(/stopped after 100 frames/);
    expect(code).toBe(0);
  });

  it('reports a frame that does not exist', async () => {
    const { code, stderr } = await replay('zen2/hello-static', '--goto', '1000');
    expect(code).toBe(ExitCode.usage);
    expect(stderr).toMatch(/ends with frame 46/);
  });

  it('stops at the memory limit', async () => {
    const { code, stderr } = await replay('haswell/faults', '--memory', '4M', '--quiet');
    expect(stderr).toMatch(/--memory/);
    expect(code).toBe(ExitCode.memory);
  });
});

describe('replay --all', () => {
  it('prints a table and picks by --only', async () => {
    const { code, stdout } = await runCli('replay', '--all', traces, '--only', 'hello', '--machine', MACHINE);
    expect(stdout).toMatch(/^trace +recorded on +XCR0 +here +frames +time +a frame +result\n/);
    expect(stdout).toMatch(/hello-static +AMD EPYC +0x7 .* 46 .* as recorded\n/);
    expect(stdout).toMatch(/\n1 as recorded, 0 not\n$/);
    expect(code).toBe(0);
  });

  it('says when there is nothing to replay', async () => {
    const { code, stderr } = await runCli('replay', '--all', path.join(traces, 'zen2'), '--only', 'nothing');
    expect(code).toBe(ExitCode.trace);
    expect(stderr).toMatch(/No trace below/);
  });
});

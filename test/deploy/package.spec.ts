/** The npm package, packed and installed as users do, without a compiler. */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runProgram, type Finished } from '../run-program.js';
import { root } from './options.js';

interface Packed {
  filename: string;
  size: number;
  files: { path: string }[];
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'revenant-package-'));
const home = path.join(folder, 'home');
const user = path.join(folder, 'user');
/** The programs of a machine that has no compiler. */
const programs = path.join(folder, 'bin');
let packed: Packed;
let tarball: string;

/** As the user, who has a home and no compiler. */
const run = (command: string, args: string[]): Promise<Finished> =>
  runProgram(command, args, {
    cwd: user,
    env: { ...process.env, HOME: home, PATH: programs, npm_config_cache: npmCache },
  });

const npmCache = spawnSync('npm', ['config', 'get', 'cache'], { encoding: 'utf8' }).stdout.trim();
const which = (name: string): string | undefined =>
  process.env.PATH?.split(':')
    .map((each) => path.join(each, name))
    .find((file) => fs.existsSync(file));

beforeAll(async () => {
  for (const each of [home, user, programs]) fs.mkdirSync(each);
  for (const name of ['node', 'npm', 'npx', 'sh', 'env', 'gdb', 'xz']) {
    const file = which(name);
    if (file) fs.symlinkSync(file, path.join(programs, name));
  }
  const done = await runProgram('npm', ['pack', '--json', '--pack-destination', folder], {
    cwd: root,
    env: { ...process.env, npm_config_loglevel: 'error' },
  });
  expect(done.code, done.stderr).toBe(0);
  [packed] = JSON.parse(done.stdout.slice(done.stdout.indexOf('['))) as [Packed];
  tarball = path.join(folder, packed.filename);
});
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

describe('the package', () => {
  it('contains the files for replays, and no sources, traces or tests', () => {
    const names = packed.files.map((file) => file.path);
    for (const name of [
      ...['bin/revenant', 'dist/index.js', 'dist/index.d.ts', 'dist/debugger/revenant-gdb.py'],
      ...['revenant.node', 'revenant-keeper', 'revenant-sandbox', 'bare.rom'].map(
        (each) => `prebuilds/linux-x64/${each}`,
      ),
      ...['man/revenant.1', 'schema/ci-manifest.schema.json', 'assets/report/main.js', 'native/kvm/vm_fd.cc'],
    ])
      expect(names).toContain(name);
    const hasZydis = fs.existsSync('/usr/include/Zydis/Zydis.h');
    expect(names.some((name) => /^prebuilds\/linux-x64\/libZydis\.so\./.test(name))).toBe(hasZydis);
    expect(names.filter((name) => /^(src|traces|test|build)\/|\.spec\.|\.map$/.test(name))).toEqual([]);
    expect(packed.size).toBeLessThan(3e6);
  });

  it('is installed, replays, is imported by TypeScript, and leaves nothing when it is removed', async () => {
    fs.writeFileSync(path.join(user, 'package.json'), '{ "name": "user", "type": "module" }\n');
    const installed = await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', tarball]);
    expect(installed.code, installed.stderr).toBe(0);
    // The compiled parts of the package were used.
    expect(fs.existsSync(path.join(user, 'node_modules/revenant/build/native'))).toBe(false);

    const replayed = await run('npx', [
      'revenant',
      'replay',
      '--quiet',
      path.join(root, 'traces/zen2/hello-static'),
    ]);
    expect(replayed.stderr).toBe('');
    expect(replayed.code).toBe(0);
    const expected = path.join(root, 'traces/zen2/hello-static/expected_stdout');
    expect(replayed.stdout).toBe(fs.readFileSync(expected, 'utf8'));

    fs.writeFileSync(
      path.join(user, 'inserts.ts'),
      `import { Replay, RevenantError } from 'revenant';
const replay: Replay = await Replay.open(${JSON.stringify(path.join(root, 'traces/skylake-pku/tree'))});
try {
  await replay.runTo('insert');
  const key: bigint = replay.register('rsi');
  console.log(\`\${replay.symbolAt(replay.register('rip'))} \${key}\`);
  const failure = await replay.runTo('nosuch').catch((error: unknown) => error);
  if (failure instanceof RevenantError) console.log(failure.code);
} finally {
  await replay.close();
}
`,
    );
    fs.symlinkSync(path.join(root, 'node_modules/@types'), path.join(user, 'types'));
    const compiled = await run(process.execPath, [
      ...[path.join(root, 'node_modules/typescript/bin/tsc'), '--strict', '--target', 'es2022'],
      ...['--module', 'nodenext', '--typeRoots', 'types', '--types', 'node', 'inserts.ts'],
    ]);
    expect(compiled.stdout).toBe('');
    expect(compiled.code).toBe(0);
    const script = await run(process.execPath, ['inserts.js']);
    expect(script.stderr).toBe('');
    expect(script.stdout).toMatch(/^insert 0x?\d+\nE_[A-Z_]+\n$|^insert \d+\nE_[A-Z_]+\n$/);

    const removed = await run('npm', ['uninstall', '--no-audit', '--no-fund', 'revenant']);
    expect(removed.code, removed.stderr).toBe(0);
    // npm leaves empty folders of scopes and its own list.
    const rest = fs.readdirSync(path.join(user, 'node_modules'), { recursive: true, withFileTypes: true });
    expect(rest.filter((each) => !each.isDirectory()).map(({ name }) => name)).toEqual([
      '.package-lock.json',
    ]);
    // Generated files were removed with the package.
    const left = fs.readdirSync(home, { recursive: true }).map(String);
    expect(left.filter((name) => !/^\.cache(\/revenant)?$/.test(name))).toEqual([]);
  });

  it('builds its native code where the compiled parts do not run, and says so', async () => {
    const unpacked = path.join(folder, 'package');
    spawnSync('tar', ['xzf', tarball, '-C', folder]);
    fs.symlinkSync(path.join(root, 'node_modules'), path.join(unpacked, 'node_modules'));
    const install = (): Promise<Finished> =>
      runProgram(process.execPath, ['scripts/install.mjs'], { cwd: unpacked });
    expect(await install()).toMatchObject({ code: 0, stderr: '' });

    fs.writeFileSync(path.join(unpacked, 'prebuilds/linux-x64/revenant.node'), 'of another system');
    const built = await install();
    expect(built.stderr).toContain('the compiled parts of the package do not run here');
    expect(built.code, built.stderr).toBe(0);
    for (const name of ['revenant.node', 'revenant-keeper', 'revenant-sandbox', 'bare.rom'])
      expect(fs.existsSync(path.join(unpacked, 'build/native/Release', name)), name).toBe(true);
  });
});

import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { DebugServer, type ServerOptions } from './server.js';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'server-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));

const at = (file: string): ServerOptions => ({
  address: { kind: 'unix', path: file },
  open: () => Promise.reject(new Error('no client is expected')),
  onFailure: () => {},
});

it('the socket of a killed server is replaced, that of a running one is an error', async () => {
  const file = path.join(folder, 'socket');
  const script = `require('net').createServer().listen(${JSON.stringify(file)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', script]);
  expect(fs.lstatSync(file).isSocket()).toBe(true);
  const server = await DebugServer.listen(at(file));
  await expect(DebugServer.listen(at(file))).rejects.toThrow(/already in use/);
  await server.close();
  expect(fs.existsSync(file)).toBe(false);
});

it('a file that is not a socket is not touched', async () => {
  const file = path.join(folder, 'file');
  fs.writeFileSync(file, 'mine');
  await expect(DebugServer.listen(at(file))).rejects.toThrow(/Cannot listen at/);
  expect(fs.readFileSync(file, 'utf8')).toBe('mine');
});

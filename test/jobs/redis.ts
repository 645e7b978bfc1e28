import type { ChildProcess } from 'node:child_process';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';

export const haveRedis = spawnSync('redis-server', ['--version']).status === 0;

/** A private Redis, on a free loopback port, with its data in a folder. */
export class TestRedis {
  private server: ChildProcess | null = null;

  private constructor(
    private readonly folder: string,
    private readonly port: number,
  ) {}

  static async start(folder: string): Promise<TestRedis> {
    const redis = new TestRedis(folder, await freePort());
    await redis.start();
    return redis;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const options = {
      port: String(this.port),
      bind: '127.0.0.1',
      dir: this.folder,
      appendonly: 'yes',
      save: '',
      daemonize: 'no',
    };
    const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
    this.server = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let text = '';
    for await (const bytes of this.server.stdout!) {
      text += String(bytes);
      if (/Ready to accept connections/.test(text)) return;
    }
    throw new Error(`redis-server did not start:\n${text}`);
  }

  /** Stops it like a service manager; it saves its data. */
  stop(): Promise<void> {
    return this.end('SIGTERM');
  }

  /** Kills it, losing its data. */
  async lose(): Promise<void> {
    await this.end('SIGKILL');
    for (const name of fs.readdirSync(this.folder))
      fs.rmSync(path.join(this.folder, name), { recursive: true });
  }

  private async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const { server } = this;
    this.server = null;
    if (!server) return;
    server.stdout!.resume();
    server.kill(signal);
    if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
  }
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

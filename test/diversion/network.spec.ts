/** Clients inside of a diversion and servers outside, if allowed. */
import { once } from 'node:events';
import dgram from 'node:dgram';
import net from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { divert, type DiversionHandle } from '../../src/recording/divert.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { acquireMachine } from '../machines.js';
import { frameBeforeExit, openReplay, traceFolder, type Replay } from './fixtures.js';

const [AF_INET, STREAM, DATAGRAM, NONBLOCK] = [2, 1, 2, 0o4000];
const EINPROGRESS = 115;
const ECONNREFUSED = 111;
const folder = traceFolder('skylake-pku/tree')!;

let transport: VcpuTransport;
let replay: Replay;
beforeAll(async () => {
  transport = await acquireMachine();
  replay = openReplay(transport, folder);
  replay.advanceTo(frameBeforeExit(folder));
});
afterAll(() => {
  replay.toEnd();
  replay.close();
  transport.close();
});

/** struct sockaddr_in of 127.0.0.1. */
const address = (port: number): Uint8Array =>
  Uint8Array.of(AF_INET, 0, port >> 8, port & 0xff, 127, 0, 0, 1, ...new Array<number>(8).fill(0));

class Client {
  private constructor(
    readonly d: DiversionHandle,
    readonly fd: bigint,
    readonly buffer: bigint,
  ) {}

  static async open(d: DiversionHandle, type: number): Promise<Client> {
    const fd = await d.call('socket', AF_INET, type, 0);
    return new Client(d, BigInt.asIntN(32, fd), await d.call('malloc', 4096));
  }

  async connect(port: number): Promise<number> {
    this.d.writeMemory(this.buffer, address(port));
    return Number(BigInt.asIntN(32, await this.d.call('connect', this.fd, this.buffer, 16)));
  }

  async errno(): Promise<number> {
    const at = await this.d.call('__errno_location');
    return this.d.readMemory(at, 4)[0];
  }

  /** A number that a call stores in memory after a length of 4. */
  async option(option: number): Promise<number> {
    this.d.writeMemory(this.buffer + 64n, Uint8Array.of(4, 0, 0, 0));
    await this.d.call('getsockopt', this.fd, 1, option, this.buffer, this.buffer + 64n);
    return this.d.readMemory(this.buffer, 1)[0];
  }
}

const within = (work: (d: DiversionHandle) => Promise<void>): Promise<void> =>
  divert(replay.session.stand(), work, { allowNet: true, limits: { seconds: 20 } });

it('a stream: connects, writes, reads; waits without blocking; is refused', async () => {
  const server = net.createServer((socket) => socket.on('data', (bytes) => socket.end(`you said ${bytes}`)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  await within(async (d) => {
    const client = await Client.open(d, STREAM);
    expect(await client.connect(port)).toBe(0);
    expect(await d.call('send', client.fd, 'hello', 5, 0)).toBe(5n);
    expect(await d.call('recv', client.fd, client.buffer, 4096, 0)).toBe(14n);
    expect(d.readText(client.buffer).slice(0, 14)).toBe('you said hello');
    expect(await d.call('recv', client.fd, client.buffer, 4096, 0)).toBe(0n);

    const eager = await Client.open(d, STREAM | NONBLOCK);
    if ((await eager.connect(port)) !== 0) expect(await eager.errno()).toBe(EINPROGRESS);
    d.writeMemory(eager.buffer, Uint8Array.of(Number(eager.fd), 0, 0, 0, 4, 0, 0, 0));
    expect(await d.call('poll', eager.buffer, 1, 10_000)).toBe(1n);
    expect(await eager.option(4)).toBe(0);
  });
  server.close();
  await once(server, 'close');
  await within(async (d) => {
    const late = await Client.open(d, STREAM);
    expect(await late.connect(port)).toBe(-1);
    expect(await late.errno()).toBe(ECONNREFUSED);
  });
});

it('datagrams have the sender that resolvers check; no socket listens inside', async () => {
  const server = dgram.createSocket('udp4', (bytes, from) => server.send(`echo ${bytes}`, from.port));
  server.bind(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  await within(async (d) => {
    const client = await Client.open(d, DATAGRAM);
    expect(await client.connect(port)).toBe(0);
    expect(await d.call('send', client.fd, 'name?', 5, 0)).toBe(5n);
    const [from, size] = [client.buffer + 512n, client.buffer + 640n];
    d.writeMemory(size, Uint8Array.of(128, 0, 0, 0));
    expect(await d.call('recvfrom', client.fd, client.buffer, 512, 0, from, size)).toBe(10n);
    expect(d.readText(client.buffer).slice(0, 10)).toBe('echo name?');
    expect(d.readMemory(from, 8)).toEqual(address(port).subarray(0, 8));
    expect(d.readMemory(size, 1)[0]).toBe(16);
    d.writeMemory(client.buffer, address(0));
    expect(BigInt.asIntN(32, await d.call('bind', client.fd, client.buffer, 16))).toBe(-1n);
    expect(BigInt.asIntN(32, await d.call('listen', client.fd, 5))).toBe(-1n);
  });
  server.close();
});

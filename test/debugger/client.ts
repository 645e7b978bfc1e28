/** A debugger of few words: sends packets and waits for replies. */
import net from 'node:net';
import { encodePacket, PacketParser } from '../../src/debugger/packet/framing.js';

export class Client {
  private readonly parser = new PacketParser();
  private readonly replies: string[] = [];
  private wake: () => void = () => {};
  /** Console output so far. */
  console = '';
  closed = false;

  private constructor(private readonly socket: net.Socket) {
    socket.on('data', (bytes) => {
      for (const item of this.parser.feed(bytes)) if (item.kind === 'packet') this.take(expand(item.body));
      this.wake();
    });
    socket.on('close', () => {
      this.closed = true;
      this.wake();
    });
    socket.on('error', () => {});
  }

  /** @param endpoint `HOST:PORT` */
  static async connect(endpoint: string): Promise<Client> {
    const [host, port] = endpoint.split(':');
    const socket = net.connect({ host, port: Number(port) });
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', () => resolve());
      socket.once('error', reject);
    });
    const client = new Client(socket);
    await client.ask('QStartNoAckMode');
    await client.ask('qSupported:multiprocess+;swbreak+;hwbreak+;fork-events+;vfork-events+;exec-events+');
    return client;
  }

  private take(body: string): void {
    if (/^O[0-9a-f]/.test(body)) this.console += Buffer.from(body.slice(1), 'hex').toString();
    else this.replies.push(body);
  }

  /** Bytes as they are. */
  raw(bytes: string | Uint8Array): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** Sends a packet and waits for its reply; '' is one, too. Fails when the connection closes instead. */
  async ask(body: string): Promise<string> {
    this.raw(encodePacket(body));
    return this.reply();
  }

  async reply(): Promise<string> {
    while (this.replies.length === 0) {
      if (this.closed) throw new Error('the connection was closed');
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
    return this.replies.shift()!;
  }

  async monitor(line: string): Promise<string> {
    this.console = '';
    await this.ask(`qRcmd,${Buffer.from(line).toString('hex')}`);
    return this.console;
  }

  close(): void {
    this.socket.destroy();
  }
}

/** Undoes run-length encoding; escapes were undone before, and no reply here contains a literal star. */
const expand = (body: string): string =>
  body.replace(/([^])\*([^])/g, (_all, character: string, count: string) =>
    character.repeat(1 + count.charCodeAt(0) - 29),
  );

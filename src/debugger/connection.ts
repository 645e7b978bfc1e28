/** One client on a stream: acknowledgements, one request after the other, Ctrl-C at any moment. */
import type { Duplex } from 'node:stream';
import { encodePacket, PacketParser, type Incoming } from './packet/framing.js';
import { OK, toHex } from './packet/fields.js';
import { handlePacket } from './requests/dispatch.js';
import type { Session } from './session.js';

/** Requests that may be answered by console output first: those that run, and monitor commands. */
const MAY_TALK = /^(?:vCont;|vRun|[cCsS]$|[CS][0-9a-f]|b[cs]$|qRcmd,)/;
/** Bytes of console output a packet. */
const CONSOLE_CHUNK = 2048;

export class Connection {
  private readonly parser = new PacketParser();
  private readonly waiting: string[] = [];
  private acknowledge = true;
  private lastSent: Buffer | null = null;
  private busy = false;
  private talking = false;
  /** Console output that came when none may be sent. */
  private held: Uint8Array[] = [];
  private finish: (error?: unknown) => void = () => {};

  constructor(
    private readonly stream: Duplex,
    private readonly session: Session,
  ) {
    session.console = (bytes) => this.console(bytes);
  }

  /** Serves until the client goes. Rejects with what is a defect of ours or ended the machine. */
  serve(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.finish = (error) => {
        this.session.closed = true;
        this.stream.destroy();
        if (error === undefined) resolve();
        else reject(error instanceof Error ? error : new Error(String(error)));
      };
      this.stream.on('data', (bytes: Buffer) => this.receive(bytes));
      // A connection that breaks is a client that went.
      this.stream.on('error', () => this.gone());
      this.stream.on('close', () => this.gone());
      this.stream.on('end', () => this.gone());
    });
  }

  private gone(): void {
    this.session.closed = true;
    if (!this.busy) this.finish();
  }

  private receive(bytes: Buffer): void {
    for (const item of this.parser.feed(bytes)) this.accept(item);
    void this.work();
  }

  private accept(item: Incoming): void {
    switch (item.kind) {
      case 'packet':
        if (this.acknowledge) this.stream.write('+');
        this.waiting.push(item.body);
        return;
      case 'bad':
        if (this.acknowledge) this.stream.write('-');
        return;
      case 'nack':
        if (this.acknowledge && this.lastSent) this.stream.write(this.lastSent);
        return;
      case 'interrupt':
        this.session.interruptRequested = true;
        return;
      case 'flood':
        this.session.log.warn({}, 'a client sent a packet without end; the connection is closed');
        this.gone();
        return;
      case 'ack':
        return;
    }
  }

  /** Answers what waits, one at a time: a request that runs takes as long as the program does. */
  private async work(): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    try {
      for (;;) {
        const body = this.waiting.shift();
        if (body === undefined || this.session.closed) break;
        await this.answer(body);
      }
    } catch (error) {
      this.finish(error);
      return;
    } finally {
      this.busy = false;
    }
    if (this.session.closed) this.finish();
  }

  private async answer(body: string): Promise<void> {
    if (body === 'QStartNoAckMode') {
      this.send(OK);
      this.acknowledge = false;
      return;
    }
    // No reply; the client is about to go.
    if (body === 'k') {
      this.session.closed = true;
      return;
    }
    this.talking = MAY_TALK.test(body);
    if (this.talking) this.releaseHeld();
    let reply: string;
    try {
      reply = await handlePacket(this.session, body);
    } finally {
      this.talking = false;
    }
    this.send(reply);
  }

  private send(body: string): void {
    if (this.session.closed) return;
    this.lastSent = encodePacket(body);
    this.stream.write(this.lastSent);
  }

  private console(bytes: Uint8Array): void {
    if (!this.talking) {
      this.held.push(Uint8Array.from(bytes));
      return;
    }
    for (let at = 0; at < bytes.length; at += CONSOLE_CHUNK) {
      this.send(`O${toHex(bytes.subarray(at, at + CONSOLE_CHUNK))}`);
    }
  }

  private releaseHeld(): void {
    const held = this.held;
    this.held = [];
    for (const bytes of held) this.console(bytes);
  }
}

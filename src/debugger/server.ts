/** Listens for debuggers; each connection has its own session. */
import fs from 'node:fs';
import net from 'node:net';
import { RevenantError } from '../engine/base/errors.js';
import { Connection } from './connection.js';
import type { Session } from './session.js';

export type Address =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string };

export interface OpenedSession {
  readonly session: Session;
  /** Closes the replay and releases its machine. */
  close(): void;
}

export interface ServerOptions {
  readonly address: Address;
  /** A recording at the place where debugging begins. */
  readonly open: () => Promise<OpenedSession>;
  /** Serve the first connection only, and listen no more. */
  readonly once?: boolean;
  /** A session could not be opened, or ended by a failure. */
  readonly onFailure: (error: unknown) => void;
  /** A session has ended. */
  readonly onIdle?: () => void;
}

const LOOPBACK = /^(?:127(?:\.\d{1,3}){3}|::1|localhost)$/i;

/** Whether only this machine can connect there. */
export const isLocal = (address: Address): boolean => address.kind === 'unix' || LOOPBACK.test(address.host);

/**
 * `PORT`, `HOST:PORT`, `[::1]:PORT`, `:PORT`, or a path with a slash for a Unix socket. Port 0: any.
 * Throws E_USAGE.
 */
export function parseAddress(text: string): Address {
  if (text.includes('/')) return { kind: 'unix', path: text };
  const match = /^(?:(\[[0-9a-f:.]+\]|[^:[\]]*):)?(\d{1,5})$/i.exec(text);
  const port = Number(match?.[2]);
  if (!match || port > 65535) {
    throw new RevenantError(
      'E_USAGE',
      `Invalid address to listen on: ${JSON.stringify(text)}.`,
      'Use a port, HOST:PORT, or a path with a slash for a Unix socket.',
    );
  }
  const host = (match[1] ?? '').replace(/^\[|\]$/g, '');
  return { kind: 'tcp', host: host === '' ? '127.0.0.1' : host, port };
}

export class DebugServer {
  private readonly server: net.Server;
  private readonly sockets = new Set<net.Socket>();
  private readonly sessions = new Set<Promise<void>>();

  private constructor(private readonly options: ServerOptions) {
    this.server = net.createServer({ noDelay: true }, (socket) => {
      if (options.once) this.server.close();
      const session = this.serve(socket).finally(() => {
        this.sessions.delete(session);
        options.onIdle?.();
      });
      this.sessions.add(session);
    });
  }

  /** Listens. Throws E_USAGE where that is not possible. */
  static async listen(options: ServerOptions): Promise<DebugServer> {
    const server = new DebugServer(options);
    const { address } = options;
    if (address.kind === 'unix') await removeStale(address.path);
    await new Promise<void>((resolve, reject) => {
      server.server.once('error', (error) => {
        const where = address.kind === 'unix' ? address.path : `${address.host}:${address.port}`;
        reject(new RevenantError('E_USAGE', `Cannot listen at ${where}: ${error.message}.`));
      });
      const ready = (): void => resolve();
      if (address.kind === 'unix') server.server.listen(address.path, ready);
      else server.server.listen(address.port, address.host, ready);
    });
    return server;
  }

  /** As gdb's `target extended-remote` takes it. */
  get endpoint(): string {
    const at = this.server.address();
    if (at === null || typeof at === 'string') return at ?? '';
    return at.family === 'IPv6' ? `[${at.address}]:${at.port}` : `${at.address}:${at.port}`;
  }

  /** Ends every session and waits until their machines are released. */
  async close(): Promise<void> {
    // Not an error when it has stopped listening already.
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    for (const socket of this.sockets) socket.destroy();
    await Promise.all([...this.sessions]);
    await closed;
  }

  private async serve(socket: net.Socket): Promise<void> {
    this.sockets.add(socket);
    let opened: OpenedSession | null = null;
    const open = async (): Promise<Session> => {
      opened = await this.options.open();
      return opened.session;
    };
    try {
      await new Connection(socket).serve(open());
    } catch (error) {
      this.options.onFailure(error);
    } finally {
      socket.destroy();
      this.sockets.delete(socket);
      endSession(opened);
    }
  }
}

/** A stale socket file: its owner was killed. */
async function removeStale(path: string): Promise<void> {
  if (!fs.lstatSync(path, { throwIfNoEntry: false })?.isSocket()) return;
  const code = await new Promise<string | undefined>((resolve) => {
    const socket = net.connect({ path }, () => {
      socket.destroy();
      resolve(undefined);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code));
  });
  if (code === 'ECONNREFUSED') fs.rmSync(path, { force: true });
}

function endSession(opened: OpenedSession | null): void {
  opened?.session.close();
  opened?.close();
}

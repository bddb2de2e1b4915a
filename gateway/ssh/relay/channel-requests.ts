/** What was asked of a channel when it was opened, as far as a recording tells it. */
export interface SessionRequest {
  /** Until the client asked for shell, command or subsystem, nothing flows. */
  started: boolean;
  tty: boolean;
  term: string;
  cols: number;
  rows: number;
  readonly environment: [name: string, value: string][];
}

export interface ForwardRequest {
  readonly direction: 'local' | 'remote' | 'agent';
  readonly address: string;
  readonly port: number;
  /** A Unix socket, whose path `address` is. */
  readonly socket: boolean;
  readonly originAddress: string;
  readonly originPort: number;
}

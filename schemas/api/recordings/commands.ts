/** The commands of a session: as shown on its screen, and as programs that the node's kernel saw. Offsets are ms of session time. */
import { z } from 'zod';
import { noBody, viewerEndpoint } from '../../endpoint/endpoint.js';
import { list, queryInteger, record, texts } from '../../endpoint/fields.js';

/**
 * Evidence of a command: `marks`: the shell marked it (OSC 133), and exit code and duration come from the marks; `kernel`: a line after
 * a prompt and programs that the kernel saw start for it; `screen`: the line alone.
 */
const commandKnown = ['marks', 'kernel', 'screen'] as const;
/**
 * `ran`: programs were started for it. `builtin`: the shell executes it itself. `never_ran`: it names a program, kernel events
 * were recorded, and nothing was started. `unknown`: kernel events were not recorded at that time.
 */
const commandVerdicts = ['ran', 'builtin', 'never_ran', 'unknown'] as const;

const commandUnit = record({
  /** Offset at which the line had its final text. */
  at: z.number(),
  /** Offset of the next command, or of the end. */
  until: z.number(),
  /** Position of the line, as in the transcript; for a marked command without a line, a position that no line has. */
  place: z.string(),
  prompt: z.string(),
  text: z.string(),
  known: z.enum(commandKnown),
  verdict: z.enum(commandVerdicts),
  /** Command lines of the first programs that the shell started for it. */
  ran: texts,
  /** Number of programs that ran meanwhile, including those started by its programs. */
  programs: z.int(),
  /** Exit code marked by the shell, otherwise that of the last program it started, or the name of a signal. Null: unknown. */
  exit: z.string().nullable(),
  /** ms from the start to that end. */
  lasted: z.number().nullable(),
});
export type CommandUnit = z.output<typeof commandUnit>;

/** Programs that ran while no line of the screen named them. */
const hiddenProgram = record({
  at: z.number(),
  /** Offset of the last one. */
  last: z.number(),
  times: z.int(),
  text: z.string(),
  /** Command line of the program that started it; '' if unknown. */
  by: z.string(),
  /** Whether the shell at the terminal started it itself. */
  direct: z.boolean(),
  /** Position of the command during which it ran; null before the first command. */
  inside: z.string().nullable(),
});
export type HiddenProgram = z.output<typeof hiddenProgram>;

const commandList = record({
  commands: list(commandUnit),
  hidden: list(hiddenProgram),
  /** Whether kernel events were recorded at all. */
  watched: z.boolean(),
  /** Start of the reported range. */
  from: z.number(),
  /** End of the reported range, from which to ask again; null if it reaches the end of the stored data. */
  until: z.number().nullable(),
});
export type CommandList = z.output<typeof commandList>;

export const listCommands = viewerEndpoint({
  method: 'GET',
  path: '/api/sessions/:id/commands',
  summary:
    'List the commands of a session with the evidence for each, programs that ran unseen, and commands that were shown but never ran.',
  admits: ['user'],
  params: z.strictObject({ id: z.string() }),
  query: z.strictObject({ from: queryInteger(0, 999_999_999_999).default(0) }),
  body: noBody,
  answer: commandList,
  errors: ['SESSION_UNKNOWN', 'QUERY_TOO_HEAVY'],
});

/** The commands of a session: what its screen shows of them beside what the kernel of its node says ran. Offsets are ms of session time. */
import { z } from 'zod';
import { noBody, viewerEndpoint } from '../../endpoint/endpoint.js';
import { list, queryInteger, record, texts } from '../../endpoint/fields.js';

/**
 * How a command is known: `marks`, the shell marked it (OSC 133), its exit code and duration are those of the marks; `kernel`, a line behind a prompt
 * and programs that the kernel saw start for it; `screen`, the line alone.
 */
const commandKnown = ['marks', 'kernel', 'screen'] as const;
/**
 * `ran`: programs were started for it. `builtin`: the shell does it by itself. `never_ran`: it names a program, the kernel was
 * watched, and nothing was started. `unknown`: the kernel was not watched then.
 */
const commandVerdicts = ['ran', 'builtin', 'never_ran', 'unknown'] as const;

const commandUnit = record({
  /** Offset at which the line stood as it does. */
  at: z.number(),
  /** Offset of the next command, or of the end. */
  until: z.number(),
  /** Of the line, as in the transcript; of a marked command whose line is not there, a name that no line has. */
  place: z.string(),
  prompt: z.string(),
  text: z.string(),
  known: z.enum(commandKnown),
  verdict: z.enum(commandVerdicts),
  /** Command lines of what its shell started for it, the first ones. */
  ran: texts,
  /** How many programs ran meanwhile, those that its programs started included. */
  programs: z.int(),
  /** As the shell marked it, else how the last of what it started ended: a code, or a signal's name. Null: not known. */
  exit: z.string().nullable(),
  /** ms from the begin to that end. */
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
  /** Command line of what started it; '' where that is not known. */
  by: z.string(),
  /** Whether the shell at the terminal started it itself. */
  direct: z.boolean(),
  /** Place of the command under which it ran; null before the first command. */
  inside: z.string().nullable(),
});
export type HiddenProgram = z.output<typeof hiddenProgram>;

const commandList = record({
  commands: list(commandUnit),
  hidden: list(hiddenProgram),
  /** Whether the kernel of the node was watched at all. */
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
  summary: 'List the commands of a session, each with how it is known, what ran unseen and what was shown but never ran.',
  admits: ['user'],
  params: z.strictObject({ id: z.string() }),
  query: z.strictObject({ from: queryInteger(0, 999_999_999_999).default(0) }),
  body: noBody,
  answer: commandList,
  errors: ['SESSION_UNKNOWN', 'QUERY_TOO_HEAVY'],
});

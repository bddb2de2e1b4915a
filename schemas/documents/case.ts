/**
 * The structure of a case, and its states.
 *
 *     open ──investigate──► investigating ──close──► closing ──sign, by somebody else──► closed
 *       └────────────────close──────────────────────▲  │                                  │
 *                            ▲                         │ return                           │ reopen
 *                            └─────────────────────────┴──────────────────────────────────┘
 *
 * Whoever asks to close a case cannot sign it off, so every closed case was read by two people. Tested in case.test.ts.
 */
export const caseStates = ['open', 'investigating', 'closing', 'closed'] as const;
export type CaseState = (typeof caseStates)[number];

export const caseActs = ['investigate', 'close', 'sign', 'return', 'reopen'] as const;
export type CaseAct = (typeof caseActs)[number];

export const caseItemKinds = ['session', 'moment', 'finding', 'search'] as const;
export type CaseItemKind = (typeof caseItemKinds)[number];

/** Entries in the history of a case: acts, and changes of the case itself. */
export const caseChanges = [...caseActs, 'create', 'describe', 'assign', 'remove'] as const;
export type CaseChange = (typeof caseChanges)[number];

const steps: Readonly<Record<CaseAct, { readonly from: readonly CaseState[]; readonly to: CaseState }>> = {
  investigate: { from: ['open'], to: 'investigating' },
  close: { from: ['open', 'investigating'], to: 'closing' },
  sign: { from: ['closing'], to: 'closed' },
  return: { from: ['closing'], to: 'investigating' },
  reopen: { from: ['closed'], to: 'investigating' },
};

/** The next state; null: the act is not possible in this state. */
export function caseAfter(state: CaseState, act: CaseAct): CaseState | null {
  const { from, to } = steps[act];
  return from.includes(state) ? to : null;
}

/** Acts that revise an earlier one need a reason. */
export function actTakesReason(act: CaseAct): boolean {
  return act === 'close' || act === 'return' || act === 'reopen';
}

/** Whether things can still be added and removed. */
export function caseTakesItems(state: CaseState): boolean {
  return state === 'open' || state === 'investigating';
}

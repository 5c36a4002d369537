import type { SurfaceEvent, TalkState } from './talk.ts';

const recentCountMax = 8;

/** What is open and what is typed: the input, the action sheet, the form, the palette, an enlarged picture. */
export function reduceSurfaces(state: TalkState, event: SurfaceEvent): TalkState {
  switch (event.kind) {
    case 'talk-typed':
      return { ...state, input: event.text, chosen: undefined, isListOpen: event.text !== '', historyIndex: undefined };
    case 'talk-candidate':
      return { ...state, chosen: (state.chosen ?? (event.step === 1 ? -1 : 0)) + event.step, isListOpen: true };
    case 'talk-list-closed':
      return { ...state, chosen: undefined, isListOpen: false };
    case 'talk-recalled':
      return recalled(state, event.step);
    case 'talk-pane':
      return { ...state, pane: event.pane };
    case 'talk-sheet-opened': {
      const none = { kind: 'none' } as const;
      const sheet = { number: event.number, line: event.line, answers: {}, dryRun: none, run: none, refusal: none };
      return { ...state, sheet };
    }
    case 'talk-sheet-filled': {
      const { sheet } = state;
      if (sheet === undefined) return state;
      return { ...state, sheet: { ...sheet, answers: { ...sheet.answers, [event.field]: event.value } } };
    }
    case 'talk-sheet-back': {
      const { sheet } = state;
      return sheet === undefined ? state : { ...state, sheet: { ...sheet, run: { kind: 'none' } } };
    }
    case 'talk-sheet-closed':
      return { ...state, sheet: undefined };
    case 'talk-form-closed':
      return { ...state, form: undefined };
    case 'talk-picture':
      return { ...state, picture: event.picture };
    case 'talk-copied':
      return { ...state, copied: event.line };
    default:
      return palette(state, event);
  }
}

type PaletteEvent = Extract<SurfaceEvent, { kind: `talk-palette-${string}` }>;

function palette(state: TalkState, event: PaletteEvent): TalkState {
  switch (event.kind) {
    case 'talk-palette-opened':
      return { ...state, palette: { text: '', chosen: 0 } };
    case 'talk-palette-typed':
      return { ...state, palette: { text: event.text, chosen: 0 } };
    case 'talk-palette-chosen':
      return state.palette === undefined
        ? state
        : { ...state, palette: { ...state.palette, chosen: state.palette.chosen + event.step } };
    case 'talk-palette-closed': {
      const { used } = event;
      const others = state.recent.filter((key) => key !== used);
      return {
        ...state,
        palette: undefined,
        recent: used === undefined ? others : [used, ...others].slice(0, recentCountMax),
      };
    }
    default:
      return event satisfies never;
  }
}

/** Back (-1) to older lines, forward (1) to newer ones and at last to an empty input. */
function recalled(state: TalkState, step: -1 | 1): TalkState {
  const { history, historyIndex } = state;
  const index = (historyIndex ?? history.length) + step;
  if (index < 0 || (historyIndex === undefined && step === 1)) return state;
  const closed = { ...state, chosen: undefined, isListOpen: false };
  if (index >= history.length) return { ...closed, input: '', historyIndex: undefined };
  return { ...closed, input: history[index] ?? '', historyIndex: index };
}

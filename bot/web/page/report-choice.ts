import { html, type TemplateResult } from 'lit-html';
import type { Page } from './page.ts';
import { pathOf, type Route } from './router.ts';

type ReportRoute = Extract<Route, { kind: 'report' }>;
const dayChoices = [7, 30, 90, 365] as const;

/** Which machine and which time the report is about; all of it stands in the address, so that a report can be sent as a link. */
export function reportChoice(page: Page): TemplateResult {
  const { route } = page.state;
  const shown: ReportRoute = route.kind === 'report' ? route : { kind: 'report', days: 30 };
  return html`
    <div class="report-choice">
      <div class="picks" role="group" aria-label="Period">
        ${dayChoices.map((days) => dayLink(shown, days))}
      </div>
      <form class="report-form" @submit=${(event: SubmitEvent) => onSubmit(page, shown, event)}>
        <label>Machine <input class="field" name="machine" list="report-machines" placeholder="all" maxlength="100" autocomplete="off" .value=${shown.machine ?? ''}></label>
        <datalist id="report-machines">
          ${(page.state.site?.machines ?? []).map(({ name }) => html`<option value=${name}></option>`)}
        </datalist>
        <label>From <input class="field" name="from" type="date" .value=${shown.fromDay ?? ''}></label>
        <label>To <input class="field" name="to" type="date" .value=${shown.toDay ?? ''}></label>
        <button type="submit" class="button">Show</button>
      </form>
      <div class="report-deeds">
        <button type="button" class="button" @click=${() => page.dispatch({ kind: 'report-left' })}>Make it again</button>
        <button type="button" class="button button-primary" ?disabled=${page.state.report.kind !== 'loaded'} @click=${() => void printReport()}>
          Print
        </button>
      </div>
    </div>
  `;
}

function dayLink(route: ReportRoute, days: number): TemplateResult {
  const { fromDay: _, toDay: __, ...rest } = route;
  const isShown = route.fromDay === undefined && route.days === days;
  return html`<a class="pick" href=${pathOf({ ...rest, days })} aria-current=${isShown ? 'true' : 'false'}>${days} days</a>`;
}

function onSubmit(page: Page, route: ReportRoute, event: SubmitEvent) {
  event.preventDefault();
  if (!(event.target instanceof HTMLFormElement)) return;
  const form = new FormData(event.target);
  const text = (name: string) => String(form.get(name) ?? '').trim();
  const [machine, from, to] = [text('machine'), text('from'), text('to')];
  // One day alone is that day.
  const [fromDay, toDay] = [from || to, to || from].sort();
  page.go(
    pathOf({
      kind: 'report',
      days: route.days,
      ...(machine !== '' && { machine }),
      ...(fromDay !== undefined && toDay !== undefined && fromDay !== '' && { fromDay, toDay }),
    }),
  );
}

/** Pictures that were not looked at yet are loaded first: paper does not scroll. */
async function printReport(): Promise<void> {
  const pictures = [...document.querySelectorAll<HTMLImageElement>('.report-picture img')];
  for (const picture of pictures) picture.loading = 'eager';
  // A picture that cannot be had is printed as its words.
  await Promise.allSettled(pictures.map((picture) => picture.decode()));
  window.print();
}

import { html, nothing, type TemplateResult } from 'lit-html';
import { formatBytes, hourMs, secondMs } from '../../../domain/units.ts';
import type { MachineView, PointView } from '../../../protocol/control-api.ts';
import { thresholdWords } from '../../conversation/machine-words.ts';
import { age } from '../../conversation/time-words.ts';
import { textOf } from './card-text.ts';

/** The disks of a machine, what has been sent of them, and the policy that holds. */
export function machineFacts(machine: MachineView, points: readonly PointView[]): TemplateResult {
  const { policy, disks } = machine;
  const wholeBytes = disks.reduce((sum, disk) => sum + disk.sizeBytes, 0);
  return html`
    <h2 id="facts-title">Disks and policy</h2>
    <table class="table disks" aria-labelledby="facts-title">
      <thead>
        <tr><th scope="col">Disk</th><th scope="col" class="number">Size</th></tr>
      </thead>
      <tbody>
        ${disks.map(
          (disk) =>
            html`<tr><th scope="row" class="mono">${textOf(disk.key)}</th><td class="number">${formatBytes(disk.sizeBytes)}</td></tr>`,
        )}
        ${disks.length > 1 ? html`<tr class="disks-sum"><th scope="row">All</th><td class="number">${formatBytes(wholeBytes)}</td></tr>` : nothing}
      </tbody>
    </table>
    <dl class="facts">
      <div><dt>Sent in all</dt><dd>${formatBytes(machine.sentBytesTotal)}${shareWords(machine.sentBytesTotal, wholeBytes)}</dd></div>
      <div><dt>Changed lately</dt><dd>${churnWords(points)}</dd></div>
      <div><dt>Changes</dt><dd>${textOf(machine.tracking)}</dd></div>
      <div><dt>Kind</dt><dd>${machine.kind === 'qemu-guest' ? 'QEMU guest' : 'disk image'}</dd></div>
      ${policy === null ? html`<div><dt>Policy</dt><dd>none: it is not protected</dd></div>` : policyFacts(machine, policy)}
    </dl>
  `;
}

/** What the guest wrote in the hour before its newest point, as the points say. */
export function churnWords(points: readonly PointView[]): string {
  const newestMs = Math.max(...points.map((point) => point.takenAtMs));
  const lately = points.filter((point) => point.takenAtMs > newestMs - hourMs && point.changedBytes !== undefined);
  const oldestMs = Math.min(...lately.map((point) => point.takenAtMs));
  if (newestMs <= oldestMs) return 'not known yet';
  // The oldest one's changes were made before it was taken.
  const later = lately.filter((point) => point.takenAtMs > oldestMs);
  const bytes = later.reduce((sum, point) => sum + (point.changedBytes ?? 0), 0);
  const perSecond = bytes / ((newestMs - oldestMs) / secondMs);
  return `${formatBytes(bytes)} in ${age(newestMs - oldestMs)} (${formatBytes(perSecond)}/s)`;
}

function shareWords(sentBytes: number, wholeBytes: number): string {
  if (wholeBytes === 0 || sentBytes === 0) return '';
  return `, ${(sentBytes / wholeBytes).toPrecision(2)} times its disks`;
}

function policyFacts(machine: MachineView, policy: NonNullable<MachineView['policy']>): TemplateResult {
  return html`
    <div><dt>Policy</dt><dd>${textOf(policy.name)}</dd></div>
    <div><dt>A point every</dt><dd>${age(policy.crashConsistentEveryMs)}</dd></div>
    <div><dt>Points kept</dt><dd>${age(policy.retentionMs)}</dd></div>
    <div><dt>Lag limits</dt><dd>${thresholdWords(machine)}</dd></div>
    <div><dt>Drills end after</dt><dd>${age(policy.drillLimitMs)}</dd></div>
  `;
}

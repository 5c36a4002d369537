import { openGuestSource } from '../../fixtures/guest-source.ts';
import { trackerSuite } from './tracker-suite.ts';

const traits = { canChangeDuringCapture: true, knowsExtents: true };

trackerSuite('a QEMU guest with raw disks', traits, () => openGuestSource('raw'));
trackerSuite('a QEMU guest with qcow2 disks', traits, () => openGuestSource('qcow2'));

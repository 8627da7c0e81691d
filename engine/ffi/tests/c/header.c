/* The header alone, as C, as C++ and as a module. */
#include "bridge.h"

BridgeStatus header_alone(BridgeEngine *engine);
BridgeStatus header_alone(BridgeEngine *engine) {
    /* Every enum is a type of its own name, also where another enum's integer would do. */
    BridgeEnd end = BRIDGE_END_EOF;
    BridgeDialResult result = BRIDGE_DIAL_RESULT_CONNECTED;
    BridgeLogLevel level = BRIDGE_LOG_LEVEL_WARN;
    BridgePreset preset = BRIDGE_PRESET_PHONE;
    BridgeStatus status = BridgeEngineOnDialResult(engine, 1, result);
    switch (status) {
    case BRIDGE_STATUS_STALE_FLOW:
        return BridgeEngineOnTcpClose(engine, 1, end);
    default:
        return level && preset && BridgeVersion() == BRIDGE_ABI_VERSION ? BridgeEngineStart(engine) : status;
    }
}

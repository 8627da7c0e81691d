/* The header alone, as C and as C++. */
#include "bridge.h"

BridgeStatus header_alone(BridgeEngine *engine);
BridgeStatus header_alone(BridgeEngine *engine) { return BridgeEngineStart(engine); }

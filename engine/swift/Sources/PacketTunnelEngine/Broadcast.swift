/// A row of values for any number of readers, each with a stream of its own that keeps the newest ones.
final class Broadcast<Element: Sendable>: Sendable {
    private typealias Reader = AsyncStream<Element>.Continuation
    private let readers = Lock((next: 0, open: [Int: Reader](), finished: false))
    private let limit: Int

    init(keeping limit: Int) { self.limit = limit }

    deinit { finish() }

    /// A stream of what is said from now on.
    func stream() -> AsyncStream<Element> {
        let (stream, reader) = AsyncStream.makeStream(of: Element.self, bufferingPolicy: .bufferingNewest(limit))
        let number: Int? = readers.withLock { readers in
            guard !readers.finished else { return nil }
            readers.next += 1
            readers.open[readers.next] = reader
            return readers.next
        }
        guard let number else {
            reader.finish()
            return stream
        }
        reader.onTermination = { [weak self] _ in
            // What a reader leaves behind is let go of outside of the lock.
            _ = self?.readers.withLock { $0.open.removeValue(forKey: number) }
        }
        return stream
    }

    func say(_ element: Element) {
        for reader in readers.withLock({ Array($0.open.values) }) { reader.yield(element) }
    }

    /// Ends every stream: nothing will be said any more.
    func finish() {
        let open = readers.withLock { readers in
            readers.finished = true
            defer { readers.open = [:] }
            return Array(readers.open.values)
        }
        for reader in open { reader.finish() }
    }
}

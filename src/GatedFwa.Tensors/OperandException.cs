namespace GatedFwa.Tensors;

/// <summary>An operation was given something it cannot work on: carries the operation, what it expected and what came.</summary>
public sealed class OperandException : ArgumentException
{
    /// <summary>Makes the exception.</summary>
    /// <param name="operation">The operation that refused.</param>
    /// <param name="expected">What it expects.</param>
    /// <param name="actual">What came.</param>
    public OperandException(string operation, string expected, string actual)
        : base($"{operation} expects {expected}, but got {actual}.")
    {
        Operation = operation;
        Expected = expected;
        Actual = actual;
    }

    /// <summary>The operation that refused.</summary>
    public string Operation { get; }

    /// <summary>What it expects.</summary>
    public string Expected { get; }

    /// <summary>What came.</summary>
    public string Actual { get; }
}
